"""Field names in a request: the errors for unknown and repeated ones."""

import pytest

from kala.api.job_input import parse
from kala.api.names import by_name
from kala.core.errors import Invalid

KNOWN = ("command", "retry_delay")


def error_for(*given: object, known: tuple[str, ...] = KNOWN, path: str = "") -> str:
    with pytest.raises(Invalid) as error:
        by_name(path, *given, known)
    return str(error.value)


class TestAKnownName:
    def test_is_found_in_any_case_and_returned_as_it_was_given(self):
        assert by_name("", {"Command": 1}, KNOWN) == {"command": ("Command", 1)}
        assert by_name("a", {"Command": 1}, KNOWN) == {"command": ("a.Command", 1)}

    def test_is_refused_if_given_twice(self):
        assert error_for({"command": 1, "COMMAND": 2}) == "COMMAND: also given as command; use it once"

    def test_is_refused_if_given_twice_even_if_ignored(self):
        with pytest.raises(Invalid, match=r"^ID: also given as id; use it once$"):
            by_name("", {"id": 1, "ID": 2}, KNOWN, {"id"})


class TestAnUnknownName:
    @pytest.mark.parametrize(
        ("name", "advice"),
        [
            ("comand", "did you mean command?"),
            ("retryDelay", "did you mean retry_delay?"),
            ("RETRY-DELAY", "did you mean retry_delay?"),
            ("colour", "remove it"),
            ("", "remove it"),
        ],
    )
    def test_is_refused_with_the_nearest_one(self, name, advice):
        assert error_for({name: None}) == f"{name}: unknown field; {advice}"
        assert error_for({name: None}, path="a") == f"a.{name}: unknown field; {advice.replace('mean ', 'mean a.')}"

    def test_is_shown_on_one_short_line(self):
        assert error_for({"\x1b[2J\n\ud800": 1}) == r"\x1b[2J\n\ud800: unknown field; remove it"
        assert len(error_for({"x" * 100_000: 1})) < 100

    @pytest.mark.parametrize(
        ("name", "advice"),
        [
            ("cron", "use schedule, such as 30 2 * * * (cron) or R/2030-01-01T03:00:00Z/P1D"),
            ("tz", "use timezone, such as Europe/Berlin"),
            ("random_delay", "use jitter, the longest delay after a slot, such as PT5M"),
            ("depends", "use parent_jobs, the jobs that this job runs after"),
            ("enabled", 'use "disabled": true or false'),
            ("cwd", "use working_directory, the directory that the command starts in"),
            ("notify", "use on_failure_job, the job to run when this one fails"),
            ("max_retries", "use retries, the number of times to retry a failed run"),
            ("env_vars", "use env, an object of environment variables"),
            ("maxRuntime", "use timeout, the time that a run may take, such as PT10M"),
            ("url", "in a job of type 1, put it in remote_properties"),
        ],
    )
    def test_of_another_scheduler_is_refused_with_its_counterpart_here(self, name, advice):
        with pytest.raises(Invalid) as error:
            parse({"name": "a", "command": "true", name: "x"})
        assert str(error.value) == f"{name}: unknown field; {advice}"

    def test_of_another_scheduler_is_not_a_field_of_a_job(self):
        from kala.api.job_input import _FIELDS
        from kala.api.names import _MEANT_BY, _plain

        assert not _MEANT_BY.keys() & {_plain(name) for name in _FIELDS}
