"""Every error becomes a response with one JSON sentence and the status of its kind."""

from kala.api import application
from kala.core.errors import KalaError


def kinds(parent):
    return {parent, *(kind for child in parent.__subclasses__() for kind in kinds(child))}


def test_every_kind_of_error_has_a_status():
    ours = {kind for kind in kinds(KalaError) if kind.__module__.startswith("kala.")}
    assert ours - {KalaError} == set(application._STATUS)
