"""The tokens of programs: a list, a form that creates one, and the question before one is revoked."""

from kala.api import access_schema
from kala.api.access_fields import NEVER
from kala.api.http import Request, Response
from kala.core.errors import Conflict, Invalid, KalaError
from kala.engine.access_messages import no_token
from kala.ui.forms import Form
from kala.ui.permissions import Permissions, permissions_in
from kala.ui.site import Site, see_other

_FIELDS = ("name", "role", "owners", "run_as", "expires_in")
_LENGTHS = {"P7D": "7 days", "P30D": "30 days", "P90D": "90 days", "P1Y": "1 year", NEVER: "Never"}


class TokensPage:
    """`/tokens`, and a token there."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._backend = site.backend

    def show(self, _: Request) -> Response:
        return self._page()

    def create(self, request: Request) -> Response:
        """Answer with the secret: so it is in no address, and shown once."""
        form = Form(request.body)
        name, permissions, expires_in = form.get("name").strip(), permissions_in(form), form.get("expires_in")
        try:
            body = {"name": name, **permissions.as_json, "expires_in": expires_in}
            made = self._backend.do("createToken", body=body)
        except (Invalid, Conflict) as error:
            return self._page(name, permissions, expires_in, error)
        return self._site.page(
            "token_created.html", name=name, secret=made["secret"], address=self._site.address(request)
        )

    def _page(
        self,
        name: str = "",
        permissions: Permissions = Permissions(),  # noqa: B008  frozen
        expires_in: str = access_schema.VALID_FOR,
        error: KalaError | None = None,
    ) -> Response:
        return self._site.form_page(
            "tokens.html",
            error,
            _FIELDS,
            tokens=self._all(),
            name=name,
            given=permissions,
            lengths=_LENGTHS if expires_in in _LENGTHS else {**_LENGTHS, expires_in: expires_in},
            expires_in=expires_in,
        )

    def _all(self) -> list[access_schema.Token]:
        return self._backend.read(access_schema.Tokens, "listTokens").tokens

    def ask_to_revoke(self, request: Request) -> Response:
        name = request.path["name"]
        found = [token for token in self._all() if token.name == name]
        if not found:
            raise no_token(name)
        return self._site.page("token_revoke.html", token=found[0])

    def revoke(self, request: Request) -> Response:
        self._backend.do("deleteToken", request.path["name"])
        return see_other("/tokens")
