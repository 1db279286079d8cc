"""The cookie of a login, as browsers get it (RFC 6265bis)."""

from kala.access.gate import Gate


class LoginCookie:
    """Makes the headers that set and delete the cookie. Scripts cannot read it, and other sites cannot make use of it.

    Over HTTPS the prefix of its name demands `Path=/`; otherwise it is sent to the pages below the base path only.
    """

    def __init__(self, gate: Gate, base_path: str) -> None:
        self._gate = gate
        self._path = base_path or "/"

    def set(self, secret: str, *, is_https: bool) -> dict[str, str]:
        return self._header(secret, int(self._gate.lifetime.total_seconds()), is_https=is_https)

    def delete(self, *, is_https: bool) -> dict[str, str]:
        return self._header("", 0, is_https=is_https)

    def _header(self, value: str, max_age: int, *, is_https: bool) -> dict[str, str]:
        name = self._gate.cookie_name(is_https=is_https)
        place = "Path=/; Secure" if is_https else f"Path={self._path}"
        return {"Set-Cookie": f"{name}={value}; Max-Age={max_age}; {place}; HttpOnly; SameSite=Lax"}
