"""Logging in and out."""

from kala.api.http import Request, Response
from kala.core.errors import KalaError, TooManyTries, Unauthorized
from kala.ui.forms import Form, own_path
from kala.ui.site import Site, path, see_other


class LoginPage:
    """`/login` and `/logout`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        query = request.query
        following = own_path(query.get("next", ""))
        if request.caller.user and "out" not in query:
            return see_other(following or "/")
        return self._page(query.get("name", ""), following, is_out="out" in query)

    def log_in(self, request: Request) -> Response:
        form, backend = Form(request.body), self._site.backend
        name, following = form.get("name").strip(), own_path(form.get("next"))
        credentials = {"name": name, "password": form.get("password")}
        agent = {"User-Agent": request.headers.get("User-Agent", "")}
        try:
            session = backend.do("logIn", body=credentials, headers=agent)
        except KalaError as error:
            return self._page(name, following, error)
        if request.caller.user:  # the new login replaces this one
            backend.do("logOut")
        cookie = self._site.login_cookie.set(session["token"], is_https=request.is_https)
        return see_other(following or "/", cookie)

    def _page(self, name: str, following: str, error: KalaError | None = None, *, is_out: bool = False) -> Response:
        return self._site.form_page(
            "login.html",
            error,
            ("name", "password"),
            name=name,
            following=following,
            is_out=is_out,
            is_wrong=isinstance(error, Unauthorized),
            wait=error.retry_after if isinstance(error, TooManyTries) else None,
        )

    def log_out(self, request: Request) -> Response:
        """End the login, or all of the user. Without one, the cookie is old, and goes."""
        if request.caller.user:
            everywhere = {"all": "true"} if Form(request.body).get("all") else {}
            self._site.backend.do("logOut", query=everywhere)
        return see_other(path("login", out=1), self._site.login_cookie.delete(is_https=request.is_https))
