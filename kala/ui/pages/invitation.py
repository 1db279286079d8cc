"""Where a user chooses a password with an invitation, whose secret stands in the fragment of the link.

Browsers send no fragment, so that the secret is in no log; a script puts it into the form.
"""

from kala.api.http import Request, Response
from kala.core.errors import Invalid, KalaError, NotFound, TooManyTries
from kala.ui.forms import Form, new_password
from kala.ui.site import Site, path, see_other


class InvitationPage:
    """`/invitation`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, _: Request) -> Response:
        return self._page()

    def accept(self, request: Request) -> Response:
        form = Form(request.body)
        # People also paste the whole link, in which the secret follows the `#`.
        invitation = form.get("invitation").strip().rpartition("#")[2]
        try:
            body = {"invitation": invitation, "password": new_password(form)}
            user = self._site.backend.do("acceptInvitation", body=body)["user"]
        except (Invalid, NotFound, TooManyTries) as error:
            return self._page(invitation, error)
        return see_other(path("login", name=user))

    def _page(self, invitation: str = "", error: KalaError | None = None) -> Response:
        return self._site.form_page(
            "invitation.html",
            error,
            ("invitation", "password", "again"),
            invitation=invitation,
        )
