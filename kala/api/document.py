"""The JSON object in a request's body (RFC 8259)."""

import json
from collections import Counter
from typing import Any

from kala.api import fields
from kala.core.errors import Invalid
from kala.core.foreign import presentable


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body. Raises Invalid where there is none, or where it gives a name twice."""
    if not body.strip():
        raise Invalid('body: empty; give a JSON object, such as {"name": "backup", "command": "tar cf b.tar data"}')
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise Invalid(f"body: not UTF-8 at byte {error.start + 1}; give one JSON object in UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Invalid(f"body: not JSON: {error.msg} ({place}); give one JSON object in UTF-8") from None
    except RecursionError:
        raise Invalid("body: nested too deeply; give one flat JSON object") from None
    except ValueError:
        raise Invalid("body: a number in it has thousands of digits; give a shorter one") from None
    if not isinstance(value, dict):
        raise fields.refuse("body", value, "a JSON object")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Which of two values for a name is meant nobody can tell (RFC 8259, 4)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Invalid(f"{presentable(twice, 60)}: given more than once in an object; give it once")
    return found


def _no_number(word: str) -> float:
    raise Invalid(f"body: not JSON: {word} is not a number there; give one JSON object in UTF-8")


# Not msgspec's: that keeps the last of two equal names, and its sentences about surrogates and numbers mislead.
_DECODER = json.JSONDecoder(object_pairs_hook=_each_once, parse_float=fields.Number, parse_constant=_no_number)
