"""`kala graph`: which job starts which."""

from typing import NamedTuple

import click

from kala.cli.complete import jobs
from kala.cli.connect import connected, find_job
from kala.cli.view import Column, View, listing


class Edge(NamedTuple):
    """A job that starts another one."""

    start: str
    kind: str
    end: str


_COLUMNS = (
    Column("job", lambda edge: edge.start, can_be_cut=True),
    Column("on", lambda edge: edge.kind),
    Column("starts", lambda edge: edge.end, can_be_cut=True),
)


@click.command()
@click.argument("job", required=False, shell_complete=jobs)
@click.option("--depth", type=click.IntRange(0, 100), help="How many edges away from JOB. [default: 1]")
@click.option("--dot", is_flag=True, help="Print the graph in the DOT language of Graphviz.")
@listing(_COLUMNS)
def graph(view: View, job: str | None, *, depth: int | None, dot: bool) -> None:
    """With a JOB, show only the jobs around it. For a picture: `kala graph --dot | dot -Tsvg > jobs.svg`."""
    with connected() as kala:
        around = find_job(kala, job).id if job else None
        if dot:
            from kala.client.transport import path_of, query_of  # noqa: PLC0415

            query = query_of({"format": "dot", "job": around, "depth": depth})
            click.echo(kala.request("GET", path_of("graph") + query).body, nl=False)
            return
        found = kala.graph(job=around, depth=depth)
    names = {node["id"]: node["name"] for node in found["nodes"]}
    if not view.is_table:
        view.print_one(found, "\n".join(names.values()))
        return
    edges = [Edge(names[edge["from"]], edge["kind"], names[edge["to"]]) for edge in found["edges"]]
    view.print(edges, lambda edge: edge.start)
    if found.get("has_more"):
        click.echo("kala: some jobs are left out, as there are too many", err=True)
