"""The JSON object in a request's body (RFC 8259)."""

import json
import re
from collections import Counter
from itertools import islice
from typing import Any

from kala.api import fields
from kala.core.errors import Invalid
from kala.core.foreign import presentable
from kala.core.limits import TOKENS


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body. Raise Invalid if there is none, or if a name appears twice in it."""
    if not body.strip():
        raise Invalid('body: empty; send a JSON object, such as {"name": "backup", "command": "tar cf b.tar data"}')
    _check_size(body)
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise Invalid(f"body: invalid UTF-8 at byte {error.start + 1}; send a JSON object in UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Invalid(f"body: invalid JSON: {error.msg} ({place}); send a valid JSON object") from None
    except RecursionError:
        raise Invalid("body: nested too deeply; send a flat JSON object") from None
    except ValueError:
        raise Invalid("body: contains a number with thousands of digits; use a smaller number") from None
    if not isinstance(value, dict):
        raise fields.invalid("body", value, "a JSON object")
    return value


def _check_size(body: bytes) -> None:
    """Raise Invalid for too many values. Parsing them would hold the GIL, for 0.1 s with 1 MiB of `{},`."""
    if len(body) > TOKENS and next(islice(_TOKEN.finditer(body), TOKENS, None), None):
        raise Invalid(f"body: must have at most {TOKENS:,} strings, commas and brackets; send a smaller object")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object. Raise Invalid for a repeated name, as parsers differ in the value they take (RFC 8259, 4)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Invalid(f"{presentable(twice, 60)}: appears more than once in an object; use it once")
    return found


def _no_number(word: str) -> float:
    raise Invalid(f"body: invalid JSON: {word} is not a JSON number; use a finite number or null")


# Not msgspec's decoder: it keeps the last of two equal names, and its messages on surrogates and numbers mislead.
_DECODER = json.JSONDecoder(object_pairs_hook=_each_once, parse_float=fields.Number, parse_constant=_no_number)

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[,\[{]', re.DOTALL)
