"""The users, and a form that adds one."""

from kala.api import access_schema
from kala.api.http import Request, Response
from kala.core.errors import Conflict, Invalid, KalaError
from kala.ui.forms import Form
from kala.ui.pages.user import invited
from kala.ui.permissions import Permissions, permissions_in
from kala.ui.site import Site, path, see_other

_FIELDS = ("name", "role", "owners", "run_as", "password")


class UsersPage:
    """`/users`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, _: Request) -> Response:
        return self._page()

    def create(self, request: Request) -> Response:
        form = Form(request.body)
        name, permissions, is_invited = form.get("name").strip(), permissions_in(form), form.get("how") != "password"
        body = {"name": name, **permissions.as_json} | ({} if is_invited else {"password": form.get("password")})
        try:
            self._site.backend.do("createUser", body=body)
        except (Invalid, Conflict) as error:
            return self._page(name, permissions, error, is_invited=is_invited)
        return invited(self._site, request, name) if is_invited else see_other(path("users", name))

    def _page(
        self,
        name: str = "",
        permissions: Permissions = Permissions(),  # noqa: B008  frozen
        error: KalaError | None = None,
        *,
        is_invited: bool = True,
    ) -> Response:
        return self._site.form_page(
            "users.html",
            error,
            _FIELDS,
            users=self._site.backend.read(access_schema.Users, "listUsers").users,
            name=name,
            given=permissions,
            is_invited=is_invited,
        )
