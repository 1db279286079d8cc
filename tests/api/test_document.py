"""The JSON object in a body: what is one, and what is said of everything else."""

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
            (b'{"a": 1, "a": 2}', {"a": 2}),
            (b'{"a": -0, "b": 1e2, "c": [null, true]}', {"a": 0, "b": 100.0, "c": [None, True]}),
        ],
    )
    def test_an_object_is_read(self, body, found):
        assert parse_object(body) == found

    @pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "])
    def test_an_empty_body_is_told_what_to_hold(self, body):
        with pytest.raises(Invalid, match="body: empty; give a JSON object, such as"):
            parse_object(body)

    @pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"a"', b"true", b'[{"name": "a"}]'])
    def test_any_other_value_is_refused(self, body):
        with pytest.raises(Invalid, match=r"body: .* is not a JSON object"):
            parse_object(body)

    @pytest.mark.parametrize(
        "body", [b"{", b"{}}", b"{} x", b"{'a': 1}", b'{"a": NaN}', b'{"a": 1e400}', b"\xff", b"\0"]
    )
    def test_what_is_no_json_is_refused_with_the_place(self, body):
        with pytest.raises(Invalid, match="body: not JSON: "):
            parse_object(body)

    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    def test_nesting_without_end_is_refused(self, opening):
        with pytest.raises(Invalid, match="body: nested too deeply"):
            parse_object(b'{"a":' + opening * 100_000)
