"""The JSON of the graph of jobs. Each struct is also a schema in the OpenAPI document."""

from typing import Annotated

import msgspec

from kala.api.schema import JobId, said


class GraphNode(msgspec.Struct, frozen=True):
    """A job in the graph. Only a request with `job` or `components` gets the last two."""

    id: JobId
    name: str
    disabled: bool
    last_state: Annotated[str | msgspec.UnsetType | None, said("The state of the newest run; null without runs.")] = (
        msgspec.UNSET
    )
    component: Annotated[str | msgspec.UnsetType, said("The id of the oldest job that it is connected with.")] = (
        msgspec.UNSET
    )


class GraphEdge(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """One job that starts another: after its success, or its failure."""

    start: Annotated[str, said("The id of the job that starts the other one.")]
    end: Annotated[str, said("The id of the job that is started.")]
    kind: Annotated[str, said("`success` to a child, `failure` to an on-failure job.")]


class GraphComponent(msgspec.Struct, frozen=True):
    """Jobs that are connected, named by the oldest of them."""

    id: JobId
    name: str
    jobs: Annotated[int, said("How many jobs are connected.")]


class Component(GraphComponent, frozen=True):
    """Jobs that are connected, and how many of them fail."""

    failing: Annotated[int, said("How many of these jobs are in the state `failing`.")]


class Components(msgspec.Struct, frozen=True):
    """Which jobs are connected, the largest components first."""

    components: list[Component]
    count: Annotated[int, said("How many components there are, also those that were left out.")]
    alone: Annotated[int, said("How many jobs start no other job, and are started by none.")]


class Graph(msgspec.Struct, frozen=True):
    """Which job starts which. `has_more` comes only with `job`, and `components` only if asked for."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    has_more: Annotated[bool | msgspec.UnsetType, said("Whether jobs that are near enough were left out.")] = (
        msgspec.UNSET
    )
    components: Annotated[
        list[GraphComponent] | msgspec.UnsetType, said("The connected components of two or more jobs.")
    ] = msgspec.UNSET
