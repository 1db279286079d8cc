"""`kala api`: any request."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from kala.cli.complete import choices
from kala.cli.connect import connected
from kala.core.errors import Invalid

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@click.command()
@click.argument("method", shell_complete=choices(_METHODS))
@click.argument("path")
@click.option("-f", "--field", "pairs", metavar="NAME=VALUE", multiple=True, help="A parameter or a field of the body.")
@click.option("-d", "--data", metavar="BODY", help="The body; @FILE reads it from a file, and @- from stdin.")
@click.option("-H", "--header", "headers", metavar="NAME:VALUE", multiple=True, help="A header of the request.")
def api(method: str, path: str, *, pairs: tuple[str, ...], data: str | None, headers: tuple[str, ...]) -> None:
    """Print the body of the response, as it comes.

    PATH is below /api/v1/ or, if it begins with /, the whole path: `kala api GET run/ -f state=failed -f limit=5`.

    With GET and DELETE, the fields are parameters of the query. With other methods, they are a JSON object, in which a
    VALUE that is JSON, such as a number, is taken as JSON: `kala api PATCH job/backup/ -f retries=2`.
    """
    method = method.upper()
    fields = dict(_pair(pair, "=") for pair in pairs)
    if fields and data is not None:
        raise click.UsageError("--field and --data exclude each other")
    body = _body(data)
    target = path if path.startswith("/") else f"/api/v1/{path}"
    with connected() as kala:
        from kala.client.transport import query_of, quoted_target  # noqa: PLC0415

        if fields and method in ("GET", "HEAD", "DELETE"):
            target += query_of(fields).replace("?", "&" if "?" in target else "?", 1)
        elif fields:
            body = json.dumps({name: _json_or_text(value) for name, value in fields.items()}).encode()
        target, given = quoted_target(target), {name: value.strip() for name, value in map(_header, headers)}
        if method == "GET" and not given:
            for chunk in kala.stream(target):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        else:
            sys.stdout.buffer.write(kala.request(method, target, body, given).body)
        if sys.stdout.isatty():
            click.echo()


def _body(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    return sys.stdin.buffer.read() if data == "@-" else Path(data[1:]).read_bytes()


def _pair(text: str, separator: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name:
        raise Invalid(f"{text!r}: must be NAME{separator}VALUE")
    return name, value


def _header(text: str) -> tuple[str, str]:
    name, value = _pair(text, ":")
    if not text.isascii() or not text.isprintable():
        raise Invalid(f"{text!r}: a header must have visible ASCII characters")
    return name.strip(), value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
