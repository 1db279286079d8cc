"""What is shown in place of secrets: to callers who may not write them, in the audit log, and in Kala's log.

A job that was read with `***` in it can come back in a request, so no such value is accepted in place of a secret.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from kala.core import fields
from kala.core.fields import Field, declared
from kala.core.job import FIELDS, Command, HttpCall, Job, Spec
from kala.core.run import Run
from kala.core.url import Url

MASK = "***"
_END = f"/{MASK}"
# A URL in a message, with what the sentence has after it.
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_PUNCTUATION = ":,;)"
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def masked_url(text: str) -> str:
    """Return a URL up to its host: a login, a path and a query can be secrets, as those of webhooks are."""
    try:
        url = Url.parse(text)
    except ValueError:  # a template
        return MASK if text else ""
    return text if text.strip().removesuffix("/").lower() == url.place else f"{url.place}{_END}"


_MASKED: dict[type[fields.Kind], Callable[[Any], object]] = {
    fields.Text: lambda _: MASK,
    fields.Url: masked_url,
    fields.Variables: lambda found: tuple((name, MASK) for name, _ in found),
    fields.Headers: lambda found: tuple((name, (MASK,)) for name, _ in found),
}


def masked(field: Field, value: object) -> object:
    """Return a value of a field as it is shown, without what can be a secret: names of variables and headers stay."""
    return _MASKED[type(field.kind)](value) if field.can_be_secret and value else value


def is_masked(field: Field, value: object) -> bool:
    """Whether a text is what is shown in place of a secret, or of one value of a variable or header."""
    return value == MASK or (isinstance(field.kind, fields.Url) and isinstance(value, str) and value.endswith(_END))


_SECRETS = {
    kind: [field for field in found.values() if field.can_be_secret]
    for kind, found in {Spec: FIELDS, Command: declared(Command), HttpCall: declared(HttpCall)}.items()
}


def masked_job(job: Job) -> Job:
    """Return a job as it is shown to who may not see its secrets."""
    spec = _without_secrets(job.spec)
    return replace(job, spec=replace(spec, action=_without_secrets(spec.action)))


def _without_secrets(struct: _Struct) -> _Struct:
    found = {field.attribute: masked(field, getattr(struct, field.attribute)) for field in _SECRETS[type(struct)]}
    return replace(struct, **found) if found else struct


def masked_run(run: Run) -> Run:
    """Return a run as it is shown to who may not see the secrets of its job."""
    outcome = run.outcome
    if outcome is None or "://" not in outcome.message:
        return run
    return replace(run, outcome=replace(outcome, message=masked_message(outcome.message)))


def masked_message(text: str) -> str:
    """Return how a run ended, in words, with each URL up to its host. Such a URL has no spaces."""
    return _URL.sub(_in_message, text) if "://" in text else text


def _in_message(found: re.Match[str]) -> str:
    url = found[0].rstrip(_PUNCTUATION)
    return masked_url(url) + found[0][len(url) :]
