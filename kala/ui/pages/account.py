"""The caller's own account: their permissions, their logins, and a form for a new password."""

from kala.api import access_schema
from kala.api.http import Request, Response
from kala.core.errors import Conflict, Invalid, KalaError, TooManyTries
from kala.ui.forms import Form, new_password
from kala.ui.site import Site, path, see_other

_FIELDS = ("old_password", "password", "again")


class AccountPage:
    """`/account`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        return self._page(is_changed="changed" in request.query)

    def change_password(self, request: Request) -> Response:
        form = Form(request.body)
        try:
            body = {"old_password": form.get("old_password"), "password": new_password(form)}
            self._site.backend.do("changePassword", body=body)
        except (Invalid, Conflict, TooManyTries) as error:
            return self._page(error=error)
        return see_other(path("account", changed=1))

    def _page(self, *, error: KalaError | None = None, is_changed: bool = False) -> Response:
        return self._site.form_page(
            "account.html",
            error,
            _FIELDS,
            me=self._site.backend.read(access_schema.OneCaller, "getMe").me,
            is_changed=is_changed,
        )
