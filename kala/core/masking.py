"""What is shown in place of what can be a secret, to those who may not write it and in the audit log."""

from kala.core.fields import Field, Url
from kala.core.url import Url as ParsedUrl

MASK = "***"


def masked(field: Field, value: object) -> object:
    """Return a value of a field as it is shown, without what can be a secret: names of variables and headers stay."""
    if isinstance(field.kind, Url):
        return masked_url(str(value))
    if not field.can_be_secret or not value:
        return value
    if isinstance(value, tuple):
        return tuple((name, MASK) for name, _ in value)
    return MASK


def masked_url(text: str) -> str:
    """Return a URL up to its host: a login, a path and a query can be secrets, as those of webhooks are."""
    try:
        url = ParsedUrl.parse(text)
    except ValueError:  # a template
        return MASK if text else ""
    return f"{url.scheme}://{url.authority}/" + ("" if url.target == "/" and not url.login else MASK)
