"""A change with a key is made once, and its answer is kept with it."""

import msgspec
import pytest

from kala.core.errors import Conflict, Invalid
from kala.core.job import Command, Spec
from kala.engine.messages import CreateJob, Keep, Once
from kala.store.answers import Answer

SPEC = Spec(name="backup", action=Command("true"), schedule="R/2040-01-01T00:00:00Z/P1D")


def once(key: str = "a", request: str = "create", spec: Spec = SPEC) -> Once:
    return Once(key, request, CreateJob(spec), lambda job: Answer(request, 201, {"X": "y"}, job.id.encode()))


def kept(kala) -> int:
    return kala.store._writing.execute_sql("SELECT count(*) FROM answer").fetchone()[0]


def test_the_second_answer_is_the_first_one(kala):
    first = kala.ask(once())
    assert kala.ask(once()) == msgspec.structs.replace(first, is_repeated=True)
    assert kala.jobs() == [first.body.decode()]


def test_two_in_one_step_are_one_change(kala):
    first, second = (future.result() for future in kala.step(once(), once()))
    assert (first.body, second.is_repeated) == (second.body, True)
    assert len(kala.jobs()) == 1


def test_an_answer_survives_a_restart(kala):
    first = kala.ask(once())
    kala.restart(hours=1)
    assert kala.ask(once()).body == first.body


def test_another_request_with_the_key_changes_nothing(kala):
    kala.ask(once())
    with pytest.raises(Conflict, match="Idempotency-Key: 'a' was used for another request; use a new key"):
        kala.ask(once(request="other"))
    assert len(kala.jobs()) == 1


def test_a_change_that_was_refused_keeps_no_answer(kala):
    with pytest.raises(Invalid):
        kala.ask(once(spec=msgspec.structs.replace(SPEC, schedule="R9/2029-01-01T00:00:00Z/P1D")))
    assert kept(kala) == 0
    assert not kala.ask(once()).is_repeated


def test_neither_change_nor_answer_is_there_when_the_commit_fails(kala):
    with kala.dead_disk():
        kala.step(once())
    assert (kala.jobs(), kept(kala)) == ([], 0)
    kala.passes(seconds=1)
    assert not kala.ask(once()).is_repeated


def test_an_answer_counts_for_a_day(kala):
    kala.ask(once())
    kala.passes(hours=23, minutes=59)
    assert kala.ask(once()).is_repeated
    kala.passes(minutes=1)
    assert not kala.ask(once()).is_repeated
    assert len(kala.jobs()) == 2


def test_old_answers_are_deleted_in_small_steps(kala):
    kala.step(*(once(str(number)) for number in range(150)))
    kala.passes(hours=23)
    kala.ask(once("new"))
    kala.passes(hours=1)
    assert kept(kala) == 51
    kala.passes(seconds=1)
    assert kept(kala) == 1


def keep(status: int, body: bytes = b"", request: str = "bulk") -> Keep:
    return Keep("a", Answer(request, status, {}, body))


def test_an_answer_in_progress_is_replaced_by_the_last_one_only(kala):
    begun = kala.ask(keep(102, b"first"))
    assert (begun.body, begun.is_in_progress) == (b"first", True)
    assert kala.ask(keep(102, b"second")).body == b"first"
    assert not kala.ask(keep(200, b"third")).is_repeated
    for late in (keep(102, b"late"), keep(200, b"late")):
        answer = kala.ask(late)
        assert (answer.status, answer.body, answer.is_repeated) == (200, b"third", True)


@pytest.mark.parametrize("status", [102, 200])
def test_a_request_in_progress_keeps_its_key_from_others(kala, status):
    kala.ask(keep(102))
    for other in (once(), keep(status, request="other")):
        with pytest.raises(Conflict, match="Idempotency-Key: 'a' was used for another request"):
            kala.ask(other)
    assert kala.jobs() == []
