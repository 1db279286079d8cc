"""The page of a run says why, and what it names can be followed: one test for each wait, cause and state."""

import pytest
from msgspec.structs import replace
from samples import NOON

from kala.api.views import run_view
from kala.core.explain import Surroundings, explain
from kala.core.run import Cause, Outcome, Run, State, Waiting
from kala.ui import sentences

RUN = Run(id=12, job_id="abc", job_name="back (up)", cause=Cause.SCHEDULE, queued_at=NOON, due_at=NOON, pool="a.b")


def others(*ids, cause=Cause.PARENT):
    return [replace(RUN, id=number, cause=cause) for number in ids]


def ended(state, message=""):
    return replace(RUN, state=state, outcome=Outcome(state=state, ended_at=NOON, message=message))


def why(run, **around):
    """Return the sentence and its links."""
    view = replace(run_view(run), explain=explain(run, Surroundings(**around)))
    pieces = sentences.why(view)
    return "".join(piece.text for piece in pieces), [piece.link for piece in pieces if piece.link]


@pytest.mark.parametrize(
    ("waiting", "around", "sentence", "links"),
    [
        (Waiting.WORKER, {"workers": 8}, "Waits for one of 8 workers to be free.", []),
        (
            Waiting.JOB,
            {"in_the_way": others(7, 8)},
            "Waits for the runs of its job before it to end: run 7 and run 8.",
            [("runs", "7"), ("runs", "8")],
        ),
        (
            Waiting.POOL,
            {"in_the_way": others(5), "pool_size": 1},
            "Waits for room in pool a.b, which has room for 1 run: run 5.",
            [("runs",), ("runs", "5")],
        ),
        (Waiting.ENABLING, {}, "Waits until its job back (up) is enabled.", [("jobs", "abc")]),
    ],
    ids=str,
)
def test_a_queued_run_links_what_it_waits_for(waiting, around, sentence, links):
    assert why(replace(RUN, waiting=waiting), **around) == (sentence, links)


def test_a_retry_links_what_it_retries_and_shows_when():
    retry = replace(RUN, waiting=Waiting.RETRY, cause=Cause.RETRY, cause_run=11, not_before=NOON)
    view = replace(run_view(retry), explain=explain(retry, Surroundings()))
    assert [piece for piece in sentences.why(view) if piece.link or piece.instant] == [
        sentences.Piece("2030-01-01T12:00:00Z", instant=NOON),
        sentences.Piece("run 11", ("runs", "11")),
    ]


def test_the_link_of_a_pool_leads_to_what_is_in_it():
    queued = replace(RUN, waiting=Waiting.POOL)
    view = replace(run_view(queued), explain=explain(queued, Surroundings()))
    [link] = [piece for piece in sentences.why(view) if piece.link]
    assert (link.text, link.query) == ("pool a.b", {"pool": "a.b", "state": "queued,running"})


@pytest.mark.parametrize(
    ("run", "around", "sentence", "links"),
    [
        (replace(RUN, state=State.RUNNING), {}, "Is about to start.", []),
        (
            replace(RUN, state=State.RUNNING, started_at=NOON),
            {},
            "Has been running since 2030-01-01T12:00:00Z.",
            [],
        ),
        (ended(State.SUCCEEDED), {}, "", []),
        (ended(State.SUCCEEDED), {"caused": others(13)}, "It led to run 13.", [("runs", "13")]),
        (
            ended(State.FAILED, "exit status 2"),
            {"caused": others(13, cause=Cause.RETRY)},
            "Exit status 2; run 13 retries it.",
            [("runs", "13")],
        ),
        (
            ended(State.TIMED_OUT, "timed out after 2 s"),
            {},
            "Timed out after 2 s; it is not retried, as its job was deleted.",
            [],
        ),
        (ended(State.CANCELLED, "cancelled by request"), {}, "Cancelled by request.", []),
        (ended(State.LOST, "Kala stopped"), {}, "Kala stopped.", []),
        (ended(State.SKIPPED, "5 missed slots skipped"), {}, "5 missed slots skipped.", []),
    ],
    ids=lambda value: value.state if isinstance(value, Run) else "",
)
def test_each_state_is_explained(run, around, sentence, links):
    assert why(run, **around) == (sentence, links)


@pytest.mark.parametrize(
    ("cause", "cause_run", "words"),
    [
        (Cause.SCHEDULE, None, "due by its schedule"),
        (Cause.MANUAL, None, "started by hand"),
        (Cause.MANUAL, 11, "retried by request:"),
        (Cause.PARENT, 11, "after the success of"),
        (Cause.FAILURE, 11, "after the failure of"),
        (Cause.RETRY, 11, "retry of"),
        (Cause.CREATION, None, "started at its creation"),
    ],
)
def test_each_cause_has_words(cause, cause_run, words):
    assert sentences.cause(run_view(replace(RUN, cause=cause, cause_run=cause_run))) == words


def test_the_causes_all_have_words():
    assert set(sentences.CAUSES) == set(Cause)


def test_a_message_that_only_looks_like_a_time_stays_text():
    text, links = why(ended(State.FAILED, "bad 2030-99-99T12:00:00Z"))
    assert (text[:24], links) == ("Bad 2030-99-99T12:00:00Z", [])


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (RUN, ""),
        (ended(State.SUCCEEDED), "Run 12 succeeded"),
        (ended(State.FAILED, "exit status 2"), "Run 12 failed, exit status 2"),
        (ended(State.TIMED_OUT, "after 1 h"), "Run 12 timed out, after 1 h"),
    ],
)
def test_the_end_of_a_run_is_announced_in_one_sentence(run, words):
    assert sentences.announcement(run_view(run)) == words
