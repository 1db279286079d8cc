"""One user: what they may do, where they are logged in; an invitation, and the end of all of it."""

from kala.api import access_schema
from kala.api.http import Request, Response
from kala.core.errors import Invalid, KalaError
from kala.ui.forms import Form
from kala.ui.permissions import Permissions, permissions_in
from kala.ui.site import Site, path, see_other

_FIELDS = ("role", "owners", "run_as")


class UserPage:
    """`/users/{name}`, and the actions there."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._backend = site.backend

    def show(self, request: Request) -> Response:
        return self._page(request, is_saved="saved" in request.query)

    def change(self, request: Request) -> Response:
        given = permissions_in(Form(request.body))
        try:
            self._backend.do("changeUser", request.path["name"], body=given.as_json)
        except Invalid as error:
            return self._page(request, given, error)
        return see_other(path("users", request.path["name"], saved=1))

    def _page(
        self,
        request: Request,
        given: Permissions | None = None,
        error: KalaError | None = None,
        *,
        is_saved: bool = False,
    ) -> Response:
        found = self._read(request)
        user = found.user
        return self._site.form_page(
            "user.html",
            error,
            _FIELDS,
            user=user,
            logins=found.logins,
            given=given or Permissions(user.role, "\n".join(user.owners), user.run_as),
            is_saved=is_saved,
        )

    def _read(self, request: Request) -> access_schema.OneUser:
        return self._backend.read(access_schema.OneUser, "getUser", request.path["name"])

    def invite(self, request: Request) -> Response:
        return invited(self._site, request, request.path["name"])

    def log_out(self, request: Request) -> Response:
        self._backend.do("logOutUser", request.path["name"])
        return see_other(path("users", request.path["name"]))

    def ask_to_delete(self, request: Request) -> Response:
        return self._site.page("user_delete.html", user=self._read(request).user)

    def delete(self, request: Request) -> Response:
        self._backend.do("deleteUser", request.path["name"])
        return see_other("/users")


def invited(site: Site, request: Request, name: str) -> Response:
    """Invite a user, and return the page that shows the link once. Its secret is in no address that is sent."""
    invitation = site.backend.do("inviteUser", name)["invitation"]
    return site.page("invited.html", name=name, link=f"{site.address(request)}/invitation#{invitation}")
