"""What forms send: `application/x-www-form-urlencoded` (URL Standard, 5.1)."""

import re
from collections.abc import Container
from urllib.parse import parse_qs

from kala.core.errors import Invalid

_MOST_FIELDS = 20_000
# A path and perhaps a query (RFC 3986, 3.3 and 3.4). Two slashes would begin with a host, and browsers take a backslash
# for a slash.
_PATH = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_FIELD = re.compile(r"(\w+)(?:\[\d+\])?: ")


class Form:
    """The fields of a form, each with the values that were sent for it."""

    def __init__(self, body: bytes) -> None:
        """Raise Invalid for a body that no form sends."""
        try:
            self._fields = parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
        except ValueError:  # not UTF-8, or too many fields
            raise Invalid("body: not a form that this page sends; go back and try again") from None

    def get(self, name: str) -> str:
        """Return the first value of a field, empty without the field. Forms send each line break as CR LF."""
        return self._fields.get(name, [""])[0].replace("\r\n", "\n")

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return self._fields.get(name, [])

    @property
    def back(self) -> str:
        """The path of the page to return to, as the form's page gave it; empty for what is not a path of Kala's own."""
        return own_path(self.get("back"))


def new_password(form: Form) -> str:
    """Return the password that was typed twice. Raise Invalid if the second one differs."""
    password = form.get("password")
    if form.get("again") != password:
        raise Invalid("again: must be the same password as above")
    return password


def number_in(text: str, default: int, digits: int = 9) -> int:
    """Return the number that a text is; the default if it is none, or has more digits: Python refuses thousands."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else default


def own_path(given: str) -> str:
    """Return the path of a page of Kala's own, perhaps with a query; empty for anything else, such as another site."""
    return given if _PATH.fullmatch(given) else ""


def wrong_field(sentence: str, fields: Container[str]) -> str:
    """Return the field that an error of the API begins with, as in `owners[0]: …`; empty if it is none of these."""
    match = _FIELD.match(sentence)
    return match[1] if match and match[1] in fields else ""
