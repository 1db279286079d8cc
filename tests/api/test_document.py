"""The JSON object in a body: what is accepted, and the errors for everything else."""

import json

import pytest

from kala.api.document import parse_object
from kala.core.errors import Invalid


class TestParsingABody:
    @pytest.mark.parametrize(
        ("body", "found"),
        [
            (b"{}", {}),
            (b' \r\n\t{"a": 1}\n', {"a": 1}),
            ('{"ä": "\\ud83d\\udca9"}'.encode(), {"ä": "\N{PILE OF POO}"}),
            (b'{"a": -0, "b": 1e2, "c": [null, true]}', {"a": 0, "b": 100.0, "c": [None, True]}),
        ],
    )
    def test_an_object_is_parsed(self, body, found):
        assert parse_object(body) == found

    @pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "])
    def test_the_error_for_an_empty_body_says_what_to_send(self, body):
        with pytest.raises(Invalid, match="body: empty; send a JSON object, such as"):
            parse_object(body)

    @pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"a"', b"true", b'[{"name": "a"}]'])
    def test_any_other_value_is_refused(self, body):
        with pytest.raises(Invalid, match=r"body: must be a JSON object, not "):
            parse_object(body)

    @pytest.mark.parametrize("body", [b"{", b"{}}", b"{} x", b"{'a': 1}", b'{"a": NaN}', b"\0"])
    def test_invalid_json_is_refused_with_line_and_column(self, body):
        with pytest.raises(Invalid, match="body: invalid JSON: "):
            parse_object(body)

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            (b'{"a" 1}', "body: invalid JSON: Expecting ':' delimiter (line 1, column 6); "),
            (b'{"a": \xff}', "body: invalid UTF-8 at byte 7; "),
            (b'{"a": -Infinity}', "body: invalid JSON: -Infinity is not a JSON number; "),
            (b'{"a": ' + b"9" * 5000 + b"}", "body: contains a number with thousands of digits; "),
        ],
    )
    def test_the_error_says_what_is_wrong(self, body, sentence):
        with pytest.raises(Invalid) as refusal:
            parse_object(body)
        assert str(refusal.value).startswith(sentence)

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            (b'{"command": "echo 1", "command": "echo 2"}', "command"),
            (b'{"a": 1, "env": {"A": "1", "B": "2", "A": "1"}}', "A"),
            (rb'{"a": 1, "\u0061": 1}', "a"),
            (rb'{"\u001b[2J": 1, "\u001b[2J": 1}', r"\x1b[2J"),
        ],
    )
    def test_a_name_that_is_given_twice_is_refused(self, body, name):
        with pytest.raises(Invalid) as refusal:
            parse_object(body)
        assert str(refusal.value) == f"{name}: appears more than once in an object; use it once"

    def test_values_are_left_to_the_checks_of_the_fields(self):
        found = parse_object(rb'{"a": "\ud800", "b": 1e400, "c": 1.0}')
        assert (found["a"], found["b"].written, found["c"].written) == ("\ud800", "1e400", "1.0")

    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    def test_endless_nesting_is_refused(self, opening):
        with pytest.raises(Invalid, match="body: nested too deeply"):
            parse_object(b'{"a":' + opening * 15_000)

    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    def test_a_body_of_many_values_is_refused_before_it_is_parsed(self, opening):
        with pytest.raises(
            Invalid, match="body: must have at most 40,000 strings, commas and brackets; send a smaller"
        ):
            parse_object(b'{"a":' + opening * 100_000)

    @pytest.mark.parametrize("text", ["1,2,3\n" * 20_000, '["' * 20_000, "\\" * 50_000])
    def test_commas_brackets_and_quotes_in_a_string_do_not_count(self, text):
        assert parse_object(json.dumps({"a": text}).encode()) == {"a": text}
