"""`kala audit`: who asked for which change."""

from typing import TYPE_CHECKING, Any

import click

from kala.cli.complete import choices
from kala.cli.connect import connected
from kala.cli.view import Column, View, listing
from kala.core.account import Action

if TYPE_CHECKING:
    from kala.client import Entry


_ACTIONS = [action.value for action in Action]


def _changed(entry: "Entry") -> str:
    values = {field: (_text(old), _text(new)) for field, (old, new) in entry.changed.items()}
    # Old and new are the same text where the values are secret.
    return ", ".join(f"{field}: {old} -> {new}" for field, (old, new) in values.items() if (old, new) != ("-", "-"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


_COLUMNS = (
    Column("time", lambda entry: entry.at),
    Column("actor", lambda entry: entry.actor, can_be_cut=True),
    Column("action", lambda entry: entry.action),
    Column("target", lambda entry: entry.name or entry.target, can_be_cut=True),
    Column("refused", lambda entry: entry.refused, can_be_cut=True),
    Column("changed", _changed, is_wide=True, can_be_cut=True),
    Column("address", lambda entry: entry.address, is_wide=True),
    Column("id", lambda entry: entry.id, is_wide=True),
    Column("target_id", lambda entry: entry.target, is_wide=True),
)


@click.command()
@click.option(
    "--actor",
    metavar="ACTOR",
    help="Only what this caller did, with the kind before the name: user:ann, token:ci, peer:root; or local.",
)
@click.option(
    "--action",
    type=click.Choice(_ACTIONS),
    metavar="ACTION",
    shell_complete=choices(_ACTIONS),
    help="Only this kind of action, such as job.update.",
)
@click.option("--target", metavar="TEXT", help="Only what was about the job, run, user or token with this id or name.")
@click.option("--since", metavar="TIME", help="Only entries not before this time, such as -1h or 2030-01-01T08:00:00Z.")
@click.option("--until", metavar="TIME", help="Only entries not after this time.")
@click.option("--refused", is_flag=True, default=None, help="Only what was refused.")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, help="At most this many entries. [default: 20]")
@listing(_COLUMNS)
def audit(view: View, limit: int, **filters: Any) -> None:
    """The newest come first. -o wide and -o json have what was changed."""
    with connected() as kala:
        view.print(kala.audit(limit=limit, **filters), lambda entry: entry.id)
