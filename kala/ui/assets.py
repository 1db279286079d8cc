"""Style sheets, scripts and pictures. They are read once, and browsers keep them for ever, as their paths change."""

import gzip
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from kala.api.http import Request, Response
from kala.core.errors import NotFound

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


class _Asset(NamedTuple):
    type: str
    content: bytes
    gzipped: bytes


class Assets:
    """The files in `static/`. Scripts import each other by relative paths, so all are below one digest."""

    def __init__(self) -> None:
        files = {str(path.relative_to(_FOLDER)): path for path in sorted(_FOLDER.rglob("*")) if path.suffix in _TYPES}
        contents = {name: path.read_bytes() for name, path in files.items()}
        digest = blake2b(digest_size=8)
        for name, content in contents.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.digest = digest.hexdigest()
        self._assets = {
            name: _Asset(_TYPES[files[name].suffix], content, gzip.compress(content, mtime=0))
            for name, content in contents.items()
        }

    def path(self, name: str) -> str:
        """Return the path of a file. Raise KeyError if there is none."""
        self._assets[name]
        return f"/static/{self.digest}/{name}"

    def respond(self, request: Request) -> Response:
        asset = self._find(request.path)
        headers = _FOREVER | {"Content-Type": asset.type, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return Response(body=asset.gzipped, headers=headers | {"Content-Encoding": "gzip"})
        return Response(body=asset.content, headers=headers)

    def _find(self, path: Mapping[str, str]) -> _Asset:
        name = "/".join(path[part] for part in ("folder", "file") if part in path)
        if path["digest"] != self.digest or name not in self._assets:
            raise NotFound(f"nothing found at /static/{path['digest'][:40]}/{name[:80]}; reload the page")
        return self._assets[name]
