"""Jobs in requests, without HTTP."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import any_spec, commands, header_values, line, specs, text, token

from kala.api import views
from kala.api.job_fields import JOB
from kala.api.job_input import parse, parse_patch, revise
from kala.core.errors import Invalid
from kala.core.job import Command, HttpCall, Job, Missed, Overlap, Spec

NOON = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
MINIMAL = {"name": "a", "command": "true"}
CALL = HttpCall(
    url="http://example.org/",
    method="PUT",
    body="b",
    headers=(("A", ("1", "2")), ("B", ("3",))),
    timeout=5,
    expected_codes=(201, 202),
)

patches = st.fixed_dictionaries(
    {},
    optional={
        "name": line.filter(str.strip),
        "OWNER": st.none() | line,
        "Disabled": st.none() | st.booleans(),
        "retries": st.none() | st.integers(0, 9),
        "parent_jobs": st.none() | st.lists(line, max_size=2),
        "TemplateDelimiters": st.none() | line,
        "is_done": st.none() | st.lists(st.integers()),
        "stats": st.integers(),
        "remote_properties": st.fixed_dictionaries(
            {},
            optional={
                "Body": st.none() | text,
                "timeout": st.none() | st.integers(0, 9),
                "headers": st.none() | st.dictionaries(token.map(str.lower), st.none() | header_values, max_size=2),
            },
        ),
    },
)


def shown(spec: Spec) -> dict:
    """Return the JSON of a job with this spec, as a client reads it."""
    job = Job(id="1", spec=spec, created_at=NOON, next_due=None)
    return json.loads(msgspec.json.encode(views.job_view(job)))


def parsed(**given: object) -> Spec:
    return parse(MINIMAL | given)


def merge(spec: Spec, patch: dict) -> Spec:
    return revise(spec, parse_patch(patch))


class TestParsingASpec:
    def test_a_name_and_a_command_are_enough(self):
        assert parse(MINIMAL) == Spec(name="a", action=Command("true"))

    def test_a_value_is_kept_in_the_form_that_a_spec_has(self):
        spec = parsed(
            parent_jobs=["p", "q", "p"],
            TemplateDelimiters="{{ }}",
            retry_on=[75, 1, 75],
            retry_backoff=2,
            env={"LANG": "C", "A": "", "GONE": None},
            overlap="replace",
            type=0,
        )
        assert spec == Spec(
            name="a",
            action=Command("true"),
            parents=("p", "q"),
            template_delimiters="{{ }}",
            retry_on=(75, 1),
            retry_backoff=2.0,
            env=(("LANG", "C"), ("A", "")),
            overlap=Overlap.REPLACE,
        )

    @pytest.mark.parametrize(
        ("given", "missed"),
        [
            ({}, Missed.ONCE),
            ({"resume_at_next_scheduled_time": True}, Missed.SKIP),
            ({"resume_at_next_scheduled_time": False}, Missed.ONCE),
            ({"resume_at_next_scheduled_time": True, "missed": "skip"}, Missed.SKIP),
            ({"resume_at_next_scheduled_time": True, "missed": None}, Missed.SKIP),
            ({"resume_at_next_scheduled_time": False, "missed": "all"}, Missed.ALL),
            ({"Resume_At_Next_Scheduled_Time": True}, Missed.SKIP),
            ({"missed": ""}, Missed.ONCE),
        ],
    )
    def test_to_resume_at_the_next_scheduled_time_is_to_skip_what_was_missed(self, given, missed):
        assert parsed(**given).missed is missed

    @pytest.mark.parametrize("missed", ["once", "all"])
    def test_to_resume_at_the_next_scheduled_time_and_to_run_missed_slots_is_refused(self, missed):
        with pytest.raises(Invalid, match=r"^resume_at_next_scheduled_time: true sets missed to skip"):
            parsed(resume_at_next_scheduled_time=True, missed=missed)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("overlap", "sometimes"),
            ("overlap", "WAIT"),
            ("overlap", 0),
            ("overlap", ["wait"]),
            ("missed", "never"),
            ("missed", True),
            ("missed_limit", 0),
            ("missed_limit", 1001),
            ("missed_limit", 1.5),
            ("parents_mode", "some"),
            ("env", ["A=b"]),
            ("env", "A=b"),
            ("env", {"": "a"}),
            ("env", {"1A": "a"}),
            ("env", {"A-B": "a"}),
            ("env", {"A=B": "a"}),
            ("env", {"A B": "a"}),
            ("env", {"A\n": "a"}),
            ("env", {"\u00c4": "a"}),
            ("env", {"A\0": "a"}),
            ("env", {"A-B": None}),
            ("umask", "9"),
            ("memory_max", 512),
            ("memory_max", -1),
            ("memory_max", "1G"),
            ("cpu_quota", 100_001),
            ("cpu_quota", 1.5),
            ("tasks_max", True),
            ("umask", "8"),
            ("umask", "00027"),
            ("umask", "0o27"),
            ("umask", "-1"),
            ("umask", "27\n"),
            ("umask", 27),
            ("working_directory", "srv"),
            ("working_directory", "./srv"),
            ("working_directory", "~"),
            ("working_directory", "/srv\0"),
            ("working_directory", 5),
            ("shell", "bash"),
            ("shell", ["/bin/sh"]),
            ("pool", "a\nb"),
            ("pool", 5),
            ("priority", 10**6),
            ("priority", -1001),
            ("priority", 1.0),
            ("priority", True),
            ("priority", "high"),
            ("retry_backoff", 0),
            ("retry_backoff", 0.99),
            ("retry_backoff", 1000.1),
            ("retry_backoff", 10**400),
            ("retry_backoff", float("nan")),
            ("retry_backoff", float("inf")),
            ("retry_backoff", True),
            ("retry_backoff", "2"),
            ("retry_on", 1),
            ("retry_delay", 5),
            ("retry_max_delay", {}),
            ("timeout", 30),
            ("keep_for", 30),
            ("keep_runs", -1),
            ("keep_bytes", 2**53 + 1),
        ],
    )
    def test_an_invalid_value_is_refused_with_the_name_of_its_field(self, field, value):
        with pytest.raises(Invalid) as refusal:
            parsed(**{field: value})
        assert str(refusal.value).startswith(f"{field}: ")

    @pytest.mark.parametrize("field", JOB)
    def test_a_field_refuses_what_no_field_accepts(self, field):
        with pytest.raises(Invalid, match=rf"^{field}(\[0\])?: "):
            parsed(**{field: [[]]})

    @pytest.mark.parametrize(
        ("given", "place"),
        [({"env": {"A": 5}}, "env.A"), ({"env": {"A": "\0"}}, "env.A"), ({"retry_on": [1, 256]}, r"retry_on\[1\]")],
    )
    def test_an_invalid_nested_value_is_named_by_its_path(self, given, place):
        with pytest.raises(Invalid, match=f"^{place}: "):
            parsed(**given)

    @pytest.mark.parametrize(
        "given",
        [
            {"missed_limit": 1},
            {"missed_limit": 1000},
            {"priority": 1000},
            {"priority": -1000},
            {"retry_backoff": 1},
            {"retry_backoff": 1000.0},
            {"retry_on": [0, 255]},
            {"umask": "0"},
            {"umask": "0777"},
            {"env": {"_a1": "x=y\nz"}},
            {"env": {}},
            {"shell": ""},
            {"working_directory": "/"},
        ],
    )
    def test_a_value_at_its_limit_is_accepted_and_shown_as_it_was_given(self, given):
        [(field, value)] = given.items()
        assert (shown(parsed(**given))[field] or {}) == (value or {})

    def test_a_remote_job_becomes_an_http_call(self):
        properties = {
            "url": "http://example.org/",
            "method": "put",
            "body": "b",
            "headers": {"A": ["1", "2"], "B": ["3"]},
            "timeout": 5,
            "expected_response_codes": [201, 202],
        }
        assert parsed(type=1, remote_properties=properties).action == CALL

    def test_a_url_with_a_template_need_not_be_complete(self):
        spec = parsed(type=1, remote_properties={"url": "{{ owner }}"}, TemplateDelimiters="{{ }}")
        assert spec.action == HttpCall("{{ owner }}")

    @pytest.mark.parametrize("given", [{}, {"owner": None}])
    def test_the_default_owner_is_for_a_job_that_names_none(self, given):
        assert parse(MINIMAL | given, "me@b").owner == "me@b"

    @pytest.mark.parametrize("owner", ["", "you@b"])
    def test_the_default_owner_does_not_replace_one_that_is_named(self, owner):
        assert parse(MINIMAL | {"owner": owner}, "me@b").owner == owner

    @pytest.mark.parametrize("name", [None, "", " ", "\N{NO-BREAK SPACE}"])
    def test_a_name_is_required(self, name):
        with pytest.raises(Invalid, match="name: must not be empty"):
            parsed(name=name)

    @pytest.mark.parametrize("command", [None, "", " \n\t"])
    def test_a_command_is_required(self, command):
        with pytest.raises(Invalid, match="command: must not be empty"):
            parsed(command=command)

    @pytest.mark.parametrize("properties", [None, {}, {"url": None}, {"url": ""}, {"method": "GET"}])
    def test_a_remote_job_requires_a_url(self, properties):
        with pytest.raises(Invalid, match=r"remote_properties\.url: must not be empty"):
            parsed(type=1, remote_properties=properties)

    @pytest.mark.parametrize("properties", [[], "http://a", 1, True])
    def test_remote_properties_must_be_an_object(self, properties):
        with pytest.raises(Invalid, match=r"remote_properties: must be a JSON object, not "):
            parsed(remote_properties=properties)

    def test_an_invalid_value_is_named_as_the_request_spelt_it(self):
        with pytest.raises(Invalid, match=r"^Retries: "):
            parsed(Retries="many")
        with pytest.raises(Invalid, match=r"^remote_properties\.TimeOut: "):
            parsed(remote_properties={"TimeOut": "long"})

    @given(any_spec)
    def test_parsing_a_jobs_json_gives_its_spec(self, spec):
        assert parse(shown(spec), "default@owner") == spec


class TestDescribingAJob:
    @pytest.mark.parametrize("text", ["", "one line", "Paid for by R&D.\n\nAsk Ann \N{SNOWMAN}.\n", "x" * 2000])
    def test_a_description_has_a_few_lines_of_plain_text(self, text):
        assert shown(parsed(description=text))["description"] == text

    @pytest.mark.parametrize("text", ["a\rb", "a\tb", "a\N{RIGHT-TO-LEFT OVERRIDE}b", "a\x1b[2J", "x" * 2001])
    def test_a_description_is_refused_if_it_is_long_or_has_invisible_characters(self, text):
        with pytest.raises(Invalid, match=r"^description: must be "):
            parsed(description=text)

    def test_tags_are_kept_in_their_order_each_once(self):
        assert shown(parsed(tags=["nightly", "R&D team", "nightly"]))["tags"] == ["nightly", "R&D team"]

    @pytest.mark.parametrize("tag", ["", " ", " a", "a ", "a,b", "a\nb", "x" * 51, 5, None])
    def test_a_tag_is_refused_if_it_is_blank_or_long_or_has_a_comma(self, tag):
        with pytest.raises(Invalid, match=r"^tags\[1\]: must be "):
            parsed(tags=["good", tag])

    def test_a_job_has_at_most_20_tags(self):
        with pytest.raises(Invalid, match=r"^tags: must have at most 20 entries, not 21$"):
            parsed(tags=[str(number) for number in range(21)])


class TestManyNames:
    def test_cannot_be_collected_by_many_changes(self):
        full = parsed(env={f"A{number}": "" for number in range(1000)})
        assert merge(full, {"env": {"A0": "1", "A1": None, "B": "2"}}).env[-1] == ("B", "2")
        with pytest.raises(Invalid, match=r"^env: must have at most 1,000 entries, not 1,001$"):
            merge(full, {"env": {"B": ""}})
        call = Spec(name="a", action=CALL)
        with pytest.raises(Invalid, match=r"^remote_properties.headers: must have at most 100 entries, not 101$"):
            merge(call, {"remote_properties": {"headers": {f"X{number}": ["1"] for number in range(99)}}})

    def test_are_refused_and_only_the_first_is_checked(self):
        with pytest.raises(Invalid, match=r"^body: must have at most 100 entries, not 100,002$"):
            parsed(**{f"tmeout{number}": 1 for number in range(100_000)})
        with pytest.raises(Invalid, match=r"^remote_properties: must have at most 100 entries, not 101$"):
            parsed(remote_properties={f"tmeout{number}": 1 for number in range(101)})

    def test_in_a_change_are_refused_before_it_reaches_a_job(self):
        with pytest.raises(Invalid, match=r"^body: must have at most 100 entries, not 101$"):
            parse_patch({f"tmeout{number}": 1 for number in range(101)})


class TestMerging:
    @given(any_spec)
    def test_an_empty_patch_changes_nothing(self, spec):
        assert merge(spec, {}) == spec

    @given(any_spec)
    def test_a_jobs_own_json_changes_nothing(self, spec):
        assert merge(spec, shown(spec)) == spec

    @given(any_spec, patches)
    def test_a_patch_is_idempotent(self, spec, patch):
        once = merge(spec, patch)
        assert merge(once, patch) == once

    @given(specs(commands).map(lambda spec: msgspec.structs.replace(spec, env=())), any_spec)
    def test_the_json_of_another_job_makes_an_equal_of_it(self, spec, other):
        assert merge(spec, shown(other)) == other

    @given(any_spec, patches)
    def test_merging_follows_rfc_7396(self, spec, patch):
        def merged(target, patch):
            """Do as RFC 7396 says in section 2, for names in any case."""
            if not isinstance(patch, dict):
                return patch
            result = dict(target) if isinstance(target, dict) else {}
            for key, value in patch.items():
                name = next((known for known in result if known.lower() == key.lower()), key)
                if value is None:
                    result.pop(name, None)
                else:
                    result[name] = merged(result.get(name), value)
            return result

        assert merge(spec, patch) == parse(merged(shown(spec), patch))

    @pytest.mark.parametrize(
        ("patch", "headers"),
        [
            ({"A": ["9"]}, (("A", ("9",)), ("B", ("3",)))),
            ({"a": ["9"]}, (("A", ("9",)), ("B", ("3",)))),
            ({"C": ["9"]}, (("A", ("1", "2")), ("B", ("3",)), ("C", ("9",)))),
            ({"A": None}, (("B", ("3",)),)),
            ({"C": None}, CALL.headers),
            ({"a": None, "b": None}, ()),
            (None, ()),
            ({}, CALL.headers),
        ],
    )
    def test_single_headers_can_be_set_and_removed(self, patch, headers):
        spec = Spec(name="a", action=CALL)
        found = merge(spec, {"remote_properties": {"headers": patch}})
        assert found.action == msgspec.structs.replace(CALL, headers=headers)

    @pytest.mark.parametrize(
        ("patch", "field"),
        [
            ({"name": None}, "name"),
            ({"command": ""}, "command"),
            ({"type": 1}, "remote_properties.url"),
            ({"remote_properties": 5}, "remote_properties"),
            ({"remote_properties": {"headers": {"X": 5}}}, "remote_properties.headers.X"),
        ],
    )
    def test_a_value_that_a_new_job_cannot_have_is_refused(self, patch, field):
        with pytest.raises(Invalid, match=f"^{field}: "):
            merge(Spec(name="a", action=Command("true")), patch)

    @pytest.mark.parametrize(
        ("before", "patch", "after"),
        [
            ("once", {}, "once"),
            ("skip", {}, "skip"),
            ("all", {}, "all"),
            ("skip", {"missed": "all"}, "all"),
            ("skip", {"missed": None}, "once"),
            ("skip", {"Missed": "once"}, "once"),
            ("all", {"missed": "skip"}, "skip"),
            ("once", {"resume_at_next_scheduled_time": True}, "skip"),
            ("all", {"resume_at_next_scheduled_time": True}, "skip"),
            ("all", {"Resume_At_Next_Scheduled_Time": True}, "skip"),
            ("skip", {"resume_at_next_scheduled_time": True}, "skip"),
            ("skip", {"resume_at_next_scheduled_time": False}, "once"),
            ("skip", {"resume_at_next_scheduled_time": None}, "once"),
            ("all", {"resume_at_next_scheduled_time": False}, "all"),
            ("once", {"resume_at_next_scheduled_time": False}, "once"),
            ("once", {"resume_at_next_scheduled_time": True, "missed": "skip"}, "skip"),
            ("skip", {"resume_at_next_scheduled_time": False, "missed": "all"}, "all"),
        ],
    )
    def test_missed_and_resume_at_next_scheduled_time_replace_each_other(self, before, patch, after):
        merged = merge(parsed(missed=before), patch)
        assert shown(merged)["missed"] == after
        assert shown(merged)["resume_at_next_scheduled_time"] is (after == "skip")

    def test_missed_and_resume_at_next_scheduled_time_must_not_contradict(self):
        with pytest.raises(Invalid, match=r"^resume_at_next_scheduled_time: "):
            merge(parsed(missed="skip"), {"resume_at_next_scheduled_time": True, "missed": "all"})

    @pytest.mark.parametrize(
        ("patch", "env"),
        [
            ({"A": "9"}, {"A": "9", "b": "2"}),
            ({"a": "9"}, {"A": "1", "b": "2", "a": "9"}),
            ({"A": None}, {"b": "2"}),
            ({"B": None}, {"A": "1", "b": "2"}),
            ({"A": None, "b": None}, None),
            (None, None),
            ({}, {"A": "1", "b": "2"}),
        ],
    )
    def test_single_variables_can_be_set_and_removed_by_exact_name(self, patch, env):
        assert shown(merge(parsed(env={"A": "1", "b": "2"}), {"env": patch}))["env"] == env

    def test_merged_variables_must_not_exceed_what_a_command_can_be_given(self):
        spec = parsed()
        for number in range(8):
            spec = merge(spec, {"env": {f"A{number}": "x" * 100_000}})
        most = {f"A{number}": "x" * 130_000 for number in range(60)}
        with pytest.raises(
            Invalid, match=r"env: \d+ bytes in total, and the system allows \d+; put long values in files"
        ):
            [spec := merge(spec, {"env": {name: value}}) for name, value in most.items()]
        assert len(spec.env) >= 8

    @given(any_spec, patches)
    def test_the_original_spec_is_unchanged(self, spec, patch):
        before = msgspec.json.encode(spec)
        merge(spec, patch)
        assert msgspec.json.encode(spec) == before
