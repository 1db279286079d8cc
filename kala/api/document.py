"""The JSON object in a request's body."""

from typing import Any

import msgspec

from kala.api import fields
from kala.core.errors import Invalid


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body. Raises Invalid where there is none."""
    if not body.strip():
        raise Invalid('body: empty; give a JSON object, such as {"name": "backup", "command": "tar cf b.tar data"}')
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"body: not JSON: {error}; give one JSON object in UTF-8") from None
    except RecursionError:
        raise Invalid("body: nested too deeply; give one flat JSON object") from None
    if not isinstance(value, dict):
        raise fields.refuse("body", value, "a JSON object")
    return value
