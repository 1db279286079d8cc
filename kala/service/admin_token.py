"""A token of an administrator in a file, for containers and services that have no users yet."""

from collections.abc import Mapping
from pathlib import Path

from kala.core.errors import Invalid

_VARIABLE = "KALA_ADMIN_TOKEN_FILE"
# Of systemd's LoadCredential= (systemd.exec(5)).
_CREDENTIAL = "admin_token"
_SHORTEST, _LONGEST = 32, 500


def read(environ: Mapping[str, str]) -> str:
    """Return the token in the file that KALA_ADMIN_TOKEN_FILE names, or in systemd's credential; empty without either.

    Raises Invalid for a token that can be guessed, or a file that cannot be read.
    """
    if environ.get(_VARIABLE):
        return _token(Path(environ[_VARIABLE]), _VARIABLE)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder, _CREDENTIAL) if folder else None
    return _token(credential, _CREDENTIAL) if credential and credential.exists() else ""


def _token(file: Path, name: str) -> str:
    try:
        token = file.read_bytes()[: _LONGEST + 1].decode("ascii").strip()
    except OSError as error:
        raise Invalid(f"{name}: {file}: {error.strerror}; use a file that Kala's user can read") from None
    except UnicodeDecodeError:
        token = ""
    if not _SHORTEST <= len(token) <= _LONGEST or not token.isprintable() or " " in token:
        wanted = f"{_SHORTEST} to {_LONGEST} visible ASCII characters, as from openssl rand -hex 32"
        raise Invalid(f"{name}: the token in {file} must be {wanted}")
    return token
