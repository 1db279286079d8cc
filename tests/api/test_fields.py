"""Single JSON values: which are accepted, what they become, and the errors for the others."""

from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.api import fields
from kala.core.errors import Invalid

NOT_A_TEXT = [None, True, False, 0, 1, 1.5, 10**30, [], ["a"], {}, {"a": 1}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def assert_refused(check: fields.Check, value: object, *words: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check("field", value)
    sentence = str(refusal.value)
    assert sentence.startswith("field")
    assert "\n" not in sentence
    assert all(word in sentence for word in words)


class TestRefusing:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (None, "null"),
            (True, "true"),
            (1.5, "1.5"),
            (10**30, "1000000000000000000000000000000"),
            ("a\nb", r'"a\nb"'),
            ("ä", '"ä"'),
            (["a", 1], '["a",1]'),
            ({"a": None}, '{"a":null}'),
            ("\ud800", r'"\ud800"'),
            ({"a": ["\udfff"]}, r'{"a":["\udfff"]}'),
            (fields.Number("1e400"), "1e400"),
            (fields.Number("1.50"), "1.50"),
            ("x" * 100, f'"{"x" * 79}…'),
        ],
    )
    def test_the_error_names_the_field_the_valid_values_and_the_value_as_json(self, value, shown):
        assert str(fields.invalid("name", value, "a string")) == f"name: must be a string, not {shown}"

    @pytest.mark.parametrize("field", ["env.TOKEN", "remote_properties.headers.Authorization[0]", "ENV.token"])
    def test_a_variable_or_header_is_named_but_its_value_is_not_repeated(self, field):
        assert str(fields.invalid(field, "TopSecret", "a string")) == f"{field}: must be a string"

    @pytest.mark.parametrize("field", ["env", "remote_properties.headers"])
    def test_nor_are_all_of_them_if_they_are_not_an_object(self, field):
        assert str(fields.invalid(field, ["TOKEN=TopSecret"], "an object")) == f"{field}: must be an object"

    @pytest.mark.parametrize("field", ["env", "environment.x", "remote_properties.headers", "command"])
    def test_any_other_value_is_repeated(self, field):
        assert str(fields.invalid(field, "a", "a string")) == f'{field}: must be a string, not "a"'

    @given(JSON)
    def test_any_json_value_can_be_shown_on_one_short_line(self, value):
        sentence = str(fields.invalid("name", value, "what it should be"))
        assert len(sentence) < 120
        assert "\n" not in sentence

    @pytest.mark.parametrize("depth", [10, 500, 900, 990])
    def test_a_value_nested_too_deeply_to_be_shown_is_refused_like_any_other(self, depth):
        assert len(str(fields.invalid("name", nested(depth), "a string"))) < 120


class TestText:
    @pytest.mark.parametrize(
        "value", ["", "a", "ä€\N{PILE OF POO}", "a\nb\tc", "\x01\x7f\x85", "\u2028", "x" * 100_000]
    )
    @pytest.mark.parametrize("check", [fields.text, fields.command])
    def test_any_string_is_accepted_unchanged(self, check, value):
        assert check("field", value) == value

    @pytest.mark.parametrize("check", [fields.text, fields.line, fields.command, fields.url, fields.method])
    @pytest.mark.parametrize("value", NOT_A_TEXT)
    def test_anything_but_a_string_is_refused(self, check, value):
        assert_refused(check, value, "must be a string, not ")

    @pytest.mark.parametrize("check", [fields.text, fields.line, fields.command, fields.url, fields.method])
    @pytest.mark.parametrize("value", ["\0", "a\0b", "\ud800", "a\udfffb", "\udc00\ud800"])
    def test_nul_and_lone_surrogates_are_refused(self, check, value):
        assert_refused(check, value, "must be a string without NUL characters or lone surrogates, not ")


class TestLine:
    @pytest.mark.parametrize("value", ["", "a", " a ", "ä€\N{PILE OF POO}", "x" * 1000, "\N{NO-BREAK SPACE}"])
    def test_one_line_is_accepted_unchanged(self, value):
        assert fields.line("field", value) == value

    @pytest.mark.parametrize(
        "value", ["a\nb", "a\r", "\t", "\x01", "\x1b[31m", "\x7f", "a\x85b", "\x9b31m", "a\u2028b", "a\u2029"]
    )
    def test_control_characters_and_line_ends_are_refused(self, value):
        assert_refused(fields.line, value, "must be one line without control, bidirectional or zero-width characters")

    @pytest.mark.parametrize(("value", "shown"), [("a\u202egpj", "202e"), ("z\u200bw", "200b"), ("\ufeff", "feff")])
    def test_bidirectional_and_invisible_characters_are_refused_and_shown(self, value, shown):
        assert_refused(fields.line, value, f"\\u{shown}", "without control, bidirectional or zero-width characters")

    def test_more_than_1000_characters_are_refused(self):
        assert_refused(fields.line, "ä" * 1001, "must be at most 1000 characters long, not 1001")


class TestCommand:
    @pytest.mark.parametrize("value", ["x" * 131_071, "ä" * 65_535])
    def test_it_may_be_as_long_as_linux_accepts(self, value):
        assert fields.command("field", value) == value

    @pytest.mark.parametrize("value", ["x" * 131_072, "ä" * 65_536])
    def test_a_longer_one_is_refused(self, value):
        assert_refused(fields.command, value, "must be at most 131071 bytes long, not 131072; use a script")


class TestFlag:
    @pytest.mark.parametrize("value", [True, False])
    def test_true_and_false_are_accepted(self, value):
        assert fields.flag("field", value) is value

    @pytest.mark.parametrize("value", [None, 0, 1, "true", "", [], {}])
    def test_nothing_else_is(self, value):
        assert_refused(fields.flag, value, "must be true or false, not ")


class TestWhole:
    @pytest.mark.parametrize("value", [1, 5, 9])
    def test_a_number_within_the_limits_is_accepted(self, value):
        assert fields.whole(1, 9)("field", value) == value

    @pytest.mark.parametrize("value", [0, 10, -1, 10**30, -(10**30), 5.5, True, False, "5", "", None, [5], {}])
    def test_any_other_value_is_refused(self, value):
        assert_refused(fields.whole(1, 9), value, "must be a whole number between 1 and 9, not ")

    @pytest.mark.parametrize("check", [fields.whole(1, 9), fields.whole_or_none(1, 9)])
    @pytest.mark.parametrize("value", ["1.0", "5e0", "1e300"])
    def test_a_whole_number_must_be_written_in_digits(self, check, value):
        assert_refused(check, fields.Number(value), f"between 1 and 9, written in digits only, not {value}")

    def test_a_number_too_large_for_a_float_is_shown_as_it_was_written(self):
        assert_refused(fields.whole(1, 9), fields.Number("1e400"), "a whole number between 1 and 9, not 1e400")


class TestNumber:
    @pytest.mark.parametrize("value", [1, 1.0, 1.5, 9, 9.0])
    def test_a_number_within_the_limits_is_accepted_as_a_float(self, value):
        found = fields.number(1, 9)("field", value)
        assert (found, type(found)) == (value, float)

    @pytest.mark.parametrize(
        "value",
        [0, 0.999, 9.001, -1, 10**400, -(10**400), float("nan"), float("inf"), True, False, "5", "", None, [5], {}],
    )
    def test_any_other_value_is_refused(self, value):
        assert_refused(fields.number(1, 9), value, "must be a number between 1 and 9, not ")


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class TestChoice:
    @pytest.mark.parametrize(("value", "found"), [("red", Colour.RED), ("blue", Colour.BLUE), ("", Colour.RED)])
    def test_each_value_is_accepted_and_an_empty_string_means_the_first(self, value, found):
        assert fields.choice(Colour)("field", value) is found

    @pytest.mark.parametrize("value", ["Red", "red ", "grey", None, 0, True, False, ["red"], {"red": 1}])
    def test_any_other_value_is_refused_and_the_error_lists_the_values(self, value):
        assert_refused(fields.choice(Colour), value, "must be red, green or blue, not ")


class TestVariables:
    @pytest.mark.parametrize(
        ("value", "found"),
        [
            ({}, ()),
            ({"B": "2", "A": "1"}, (("B", "2"), ("A", "1"))),
            ({"a": "1", "A": "2"}, (("a", "1"), ("A", "2"))),
            ({"_": "", "A1_": "x=y\nz ä"}, (("_", ""), ("A1_", "x=y\nz ä"))),
            ({"A": None, "B": "1"}, (("B", "1"),)),
        ],
    )
    def test_they_keep_their_order_and_case_and_null_means_not_given(self, value, found):
        assert fields.variables("field", value) == found

    @pytest.mark.parametrize("value", [None, [], "A=b", 1, True, [["A", "b"]]])
    def test_anything_but_an_object_is_refused(self, value):
        assert_refused(fields.variables, value, "must be an object of strings")

    @pytest.mark.parametrize("name", ["", " ", "1", "1A", "A-B", "A.B", "A=", "A B", "A\n", "A\0", "Ä", "\ud800", "٨"])
    def test_a_name_that_a_shell_cannot_use_is_refused(self, name):
        assert_refused(fields.variables, {name: "a"}, "must be a variable name")

    @pytest.mark.parametrize("value", [*filter(lambda one: one is not None, NOT_A_TEXT), "a\0b", "\ud800"])
    def test_an_invalid_value_is_refused_with_the_name_of_its_variable(self, value):
        assert_refused(fields.variables, {"OK": "a", "A": value}, "field.A: ")

    @pytest.mark.parametrize("letter", ["x", "ä", "€"])
    def test_a_value_too_long_for_execve_is_refused_with_its_name(self, letter):
        longest = letter * ((131_000 - len("LONG=")) // len(letter.encode()))
        assert fields.variables("field", {"LONG": longest}) == (("LONG", longest),)
        assert_refused(
            fields.variables,
            {"OK": "a", "LONG": longest + letter},
            "field.LONG: must be at most 131000 bytes long with its name, not 13100",
        )

    def test_a_name_of_more_than_100_characters_is_refused(self):
        assert fields.variables("field", {"A" * 100: ""})
        assert_refused(fields.variables, {"A" * 101: ""}, "up to 100 letters")

    def test_more_than_1000_are_refused(self):
        assert len(fields.variables("field", {f"A{number}": "" for number in range(1000)})) == 1000
        assert_refused(
            fields.variables,
            {f"A{number}": "" for number in range(1001)},
            "field: must have at most 1,000 entries, not 1,001",
        )

    @pytest.mark.parametrize("most", [1 << 20, 1 << 40])
    def test_more_than_the_system_accepts_in_total_is_refused(self, monkeypatch, most):
        """With an unlimited stack, the kernel's own limit of 6 MiB applies."""
        monkeypatch.setattr("os.sysconf", lambda _: most)
        fields._room_for_variables.cache_clear()
        try:
            value = {f"A{number}": "x" * 10_000 for number in range(60)}
            assert len(fields.variables("field", value)) == 60
            value |= {f"B{number}": "x" * 10_000 for number in range(30 if most == 1 << 20 else 560)}
            assert_refused(fields.variables, value, "bytes in total, and the system allows")
        finally:
            fields._room_for_variables.cache_clear()


class TestAbsolutePath:
    @pytest.mark.parametrize("value", ["", "/", "/srv/a b", "/ä", "//x", "/a/../b"])
    def test_an_absolute_path_or_an_empty_string_is_accepted_unchanged(self, value):
        assert fields.absolute_path("field", value) == value

    @pytest.mark.parametrize("value", ["srv", "./srv", "../srv", "~", "~/srv", "$HOME", " /srv"])
    def test_any_other_is_refused(self, value):
        assert_refused(fields.absolute_path, value, "must be an absolute path, not ")

    def test_a_path_longer_than_linux_accepts_is_refused(self):
        longest = "/" + "x" * 4094
        assert fields.absolute_path("field", longest) == longest
        for value in (longest + "x", "/" + "ä" * 2048, "/" + "x" * 5_000_000):
            assert_refused(
                fields.absolute_path, value, f"must be at most 4,095 bytes long, not {len(value.encode()):,}"
            )

    @pytest.mark.parametrize("value", [*NOT_A_TEXT, "/a\0b", "/\ud800"])
    def test_anything_but_a_string_is_refused(self, value):
        assert_refused(fields.absolute_path, value, "must be a string")


class TestUmask:
    @pytest.mark.parametrize("value", ["", "0", "7", "027", "0027", "777"])
    def test_octal_digits_are_accepted_unchanged(self, value):
        assert fields.umask("field", value) == value

    @pytest.mark.parametrize("value", ["8", "9", "00027", "0o27", "-1", "+7", " 7", "7\n", "u=rwx", "٧"])
    def test_any_other_string_is_refused(self, value):
        assert_refused(fields.umask, value, "must be a file mode mask in octal digits")

    @pytest.mark.parametrize("value", NOT_A_TEXT)
    def test_anything_but_a_string_is_refused(self, value):
        assert_refused(fields.umask, value, "must be a string, not ")


class TestListed:
    check = staticmethod(fields.listed(fields.whole(1, 9), 9))

    @pytest.mark.parametrize(("value", "found"), [([], ()), ([1], (1,)), ([3, 1, 3, 2, 1], (3, 1, 2))])
    def test_a_list_keeps_its_order_and_drops_duplicates(self, value, found):
        assert self.check("field", value) == found

    @pytest.mark.parametrize("value", [None, 1, "1", {}, {"0": 1}, True])
    def test_anything_but_a_list_is_refused(self, value):
        assert_refused(self.check, value, "must be a list, not ")

    @pytest.mark.parametrize("value", [[1, 0], [1, None], [1, [1]], [1, "1"], [1, True]])
    def test_a_wrong_value_in_it_is_named_by_its_index(self, value):
        assert_refused(self.check, value, "field[1]: ")

    def test_it_may_not_exceed_its_limit_even_with_duplicates(self):
        assert self.check("field", [1] * 9) == (1,)
        assert_refused(self.check, [1] * 10, "field: must have at most 9 entries, not 10")


class TestLimits:
    @pytest.mark.parametrize(
        ("check", "entries", "most"),
        [
            (
                fields.variables,
                {f"A{number}": "" for number in range(1001)},
                "must have at most 1,000 entries, not 1,001",
            ),
            (fields.headers, {f"A{number}": ["a"] for number in range(101)}, "must have at most 100 entries, not 101"),
            (fields.headers, {"A": ["a"] * 101}, "must have at most 100 entries, not 101"),
        ],
    )
    def test_the_number_of_entries_is_limited(self, check, entries, most):
        assert_refused(check, entries, most)

    @pytest.mark.parametrize(
        ("check", "value"),
        [
            (fields.absolute_path, "/" + "ä" * 2048),
            (fields.method, "A" * 1001),
            (fields.headers, {"A" * 1001: ["a"]}),
            (fields.variables, {"A" * 1001: "a"}),
        ],
    )
    def test_the_length_is_limited(self, check, value):
        assert_refused(check, value)


class TestUrl:
    @pytest.mark.parametrize(
        "value",
        [
            "http://a",
            "https://example.org/hook?x=1&y=%20#z",
            "HTTP://EXAMPLE.ORG/",
            "http://user:secret@example.org:8080/",
            "http://127.0.0.1:1/",
            "http://[::1]:65535/",
            "http://bücher.example/ä",
            "http://example.org:/",
        ],
    )
    def test_a_complete_url_is_accepted_unchanged(self, value):
        assert fields.url("field", value) == value

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "example.org",
            "/hook",
            "//example.org/hook",
            "ftp://example.org/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http:",
            "http://",
            "http:///hook",
            "http://:80/",
            "http://@/",
            "http://example.org:0/",
            "http://example.org:65536/",
            "http://example.org:-1/",
            "http://example.org:x/",
            "http://[::1/",
            "http://[nonsense]/",
            "http://exa mple.org/",
        ],
    )
    def test_any_other_is_refused(self, value):
        assert_refused(fields.url, value, "must be a complete http or https URL")


class TestMethod:
    @pytest.mark.parametrize(
        ("value", "found"), [("", "GET"), ("GET", "GET"), ("post", "POST"), ("M-SEARCH", "M-SEARCH")]
    )
    def test_it_is_in_capitals_and_get_if_empty(self, value, found):
        assert fields.method("field", value) == found

    @pytest.mark.parametrize("value", [" ", "GET ", "G T", "GET\n", "GET\r\nX: y", "GÉT", "G:T", "G/T", "\x7f"])
    def test_anything_but_an_http_token_is_refused(self, value):
        assert_refused(fields.method, value, "must be an HTTP method, such as GET or POST, not ")

    @pytest.mark.parametrize("value", ["CONNECT", "connect"])
    def test_connect_is_refused_as_it_is_for_proxies(self, value):
        assert_refused(fields.method, value, f'"{value}" is not supported; use a method such as GET or POST')


class TestHeaders:
    @pytest.mark.parametrize(
        ("value", "found"),
        [
            ({}, ()),
            ({"Accept": ["text/plain", "text/html"]}, (("Accept", ("text/plain", "text/html")),)),
            ({"b": ["2"], "a": ["1"]}, (("b", ("2",)), ("a", ("1",)))),
            ({"X": [""]}, (("X", ("",)),)),
            ({"X": ["b", "a", "b"]}, (("X", ("b", "a", "b")),)),
            ({"X": None, "Y": ["1"]}, (("Y", ("1",)),)),
        ],
    )
    def test_they_keep_their_order_and_values_and_null_means_not_given(self, value, found):
        assert fields.headers("field", value) == found

    @pytest.mark.parametrize("value", [None, [], "Accept: x", 1, [["Accept", "x"]]])
    def test_anything_but_an_object_is_refused(self, value):
        assert_refused(fields.headers, value, "must be an object of lists")

    @pytest.mark.parametrize("name", ["", " ", "X Y", "X:", "X\r\nY", "X\0", "Ä", "\ud800", "(X)", 'X"'])
    def test_a_name_that_http_does_not_allow_is_refused(self, name):
        assert_refused(fields.headers, {name: ["a"]}, "must be an HTTP header name, not ")

    @pytest.mark.parametrize("value", ["a", 1, {}, {"0": "a"}, True])
    def test_values_that_are_not_a_list_are_refused(self, value):
        assert_refused(fields.headers, {"X": value}, "field.X: must be a list of one or more values")

    @pytest.mark.parametrize("value", [*NOT_A_TEXT, "a\r\nY: b", "a\nb", "a\0b", "\t", "\x7f", "ä", "€"])
    def test_a_value_that_http_does_not_allow_is_refused(self, value):
        assert_refused(fields.headers, {"X": ["ok", value]}, "field.X")

    @pytest.mark.parametrize("name", ["Kala-Job", "kala-job", "Content-Length", "TRANSFER-ENCODING"])
    def test_a_header_that_kala_sets_is_refused(self, name):
        assert_refused(fields.headers, {name: ["1"]}, f"field.{name}: set by Kala; remove it")

    def test_a_header_given_twice_in_different_case_is_refused(self):
        given = {"Content-Type": ["a/b"], "content-type": ["c/d"]}
        assert_refused(fields.headers, given, 'field: "content-type" appears 2 times')

    def test_a_header_without_a_value_is_refused(self):
        assert_refused(
            fields.headers, {"X": []}, 'field.X: must be a list of one or more values, such as ["text/plain"], not []'
        )

    def test_a_value_that_starts_with_a_space_is_refused_as_clients_strip_it(self):
        assert_refused(fields.headers, {"X": [" a"]}, "field.X")
