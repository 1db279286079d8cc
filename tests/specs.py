"""Values for the fields of jobs, by their kinds: the tests that use them include each new field."""

from functools import singledispatch

from hypothesis import strategies as st

from kala.core import fields
from kala.core.job import FIELDS, Command, HttpCall, Spec

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
line = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), max_size=20)
token = st.text("ABCXYZabcxyz-_!#'", min_size=1, max_size=5)
header_value = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10)
header_values = st.lists(header_value, unique=True, min_size=1, max_size=3)
DURATIONS = ("", "PT1S", "PT0.5S", "P1D", "P1Y2M3W4DT5H6M7.8S", "P9999Y")


@singledispatch
def of_kind(kind: fields.Kind) -> st.SearchStrategy:
    """Return values that a request can give, as a Spec has them."""
    raise NotImplementedError(kind)


@of_kind.register
def _(_: fields.Line):
    return line


@of_kind.register
def _(_: fields.Tag):
    return line.map(lambda found: found.strip().replace(",", ";")).filter(bool)


@of_kind.register
def _(_: fields.ZoneName):
    return st.sampled_from(["", "UTC", "Europe/Berlin", "Australia/Lord_Howe"])


@of_kind.register
def _(_: fields.Prose):
    return st.lists(line, max_size=3).map("\n".join)


@of_kind.register
def _(kind: fields.Duration):
    return st.sampled_from([*DURATIONS, "PT0S"] if kind.can_be_zero else DURATIONS)


@of_kind.register
def _(_: fields.Text):
    return text


@of_kind.register
def _(_: fields.AbsolutePath):
    return st.just("") | text.map("/{}".format)


@of_kind.register
def _(_: fields.Umask):
    return st.text("01234567", max_size=4)


@of_kind.register
def _(_: fields.Flag):
    return st.booleans()


@of_kind.register
def _(kind: fields.Whole):
    numbers = st.integers(kind.low, kind.high)
    return st.just(0) | numbers if kind.has_none else numbers


@of_kind.register
def _(kind: fields.Number):
    return st.floats(kind.low, kind.high)


@of_kind.register
def _(kind: fields.Choice):
    return st.sampled_from(kind.values)


@of_kind.register
def _(kind: fields.Listed):
    return st.lists(of_kind(kind.item), max_size=3, unique=True).map(tuple)


@of_kind.register
def _(_: fields.Variables):
    names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
    return st.dictionaries(names, text, max_size=3).map(lambda found: tuple(found.items()))


@of_kind.register
def _(_: fields.Headers):
    headers = st.dictionaries(token, header_values.map(tuple), max_size=3)
    distinct = headers.filter(lambda found: len({name.lower() for name in found}) == len(found))
    return distinct.map(lambda found: tuple(found.items()))


commands = st.builds(Command, text.filter(str.strip))
calls = st.builds(
    HttpCall,
    url=st.sampled_from(["http://example.org", "https://user@[::1]:8080/ä?b=c#d"]),
    method=token.map(str.upper),
    body=text,
    headers=of_kind(fields.Headers()),
    timeout=st.integers(1, 24 * 60 * 60),
    expected_codes=st.lists(st.integers(100, 599), min_size=1, max_size=3, unique=True).map(tuple),
)


def specs(action: st.SearchStrategy) -> st.SearchStrategy[Spec]:
    """Return specs that requests can give; the texts of schedules need no meaning."""
    attributes = {field.attribute: of_kind(field.kind) for field in FIELDS.values()}
    return st.builds(Spec, **attributes | {"name": line.filter(str.strip), "action": action})


any_spec = specs(commands | calls)
