"""The routes about who may call."""

from typing import Any, ClassVar

from kala.api import access_schema as schema
from kala.api import fields
from kala.api.accounts import TokenRoutes, UserRoutes
from kala.api.audit import AuditRoutes
from kala.api.parameters import Choice, Flag, Kind, Parameter, Text, Time, Whole
from kala.api.route import Route
from kala.api.sessions import SessionRoutes
from kala.core.account import Action
from kala.core.caller import ACTOR_KINDS, ACTORS, Role, is_actor
from kala.core.errors import Invalid


class _Name(Kind, frozen=True):
    """The name of a user or a token. What no name can be is none that exists."""

    errors: ClassVar[tuple[int, ...]] = (404,)

    def parse(self, name: str, given: str) -> str:  # noqa: ARG002  as every kind
        return given

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


class _Actor(Text, frozen=True):
    """Who made a request, as the audit log names them. With the name alone, no entry would be found."""

    def parse(self, name: str, given: str) -> str:
        if not is_actor(super().parse(name, given)):
            kinds = "user:ann, token:ann or peer:ann"
            raise Invalid(f"{name}: must have its kind, such as {kinds}, not {fields.shown(given)}")
        return given

    @property
    def schema(self) -> dict[str, Any]:
        pattern = f"^({'|'.join(ACTORS)}|({'|'.join(ACTOR_KINDS)}):.+)$"
        return {**super().schema, "pattern": pattern, "examples": ["user:ann", "local"]}


_USER = (Parameter("name", _Name(), "The name of a user.", place="path"),)
_TOKEN = (Parameter("name", _Name(), "The name of a token.", place="path"),)
_ALL_LOGINS = (Parameter("all", Flag(), "End all logins of the user, also those elsewhere.", default=False),)
_AUDIT = (
    Parameter("limit", Whole(1, 1000), "At most this many entries.", default=100),
    Parameter("before", Whole(1), "Only entries older than the entry with this id."),
    Parameter("actor", _Actor(), "Only what this caller did, such as user:ann."),
    Parameter("action", Choice(Action), "Only this kind of action."),
    Parameter("target", Text(), "Only what was about this: an id or a name."),
    Parameter("since", Time(), "Only entries not before this time."),
    Parameter("until", Time(), "Only entries not after this time."),
    Parameter("refused", Flag(), "Only what was, or was not, refused."),
)
_LOCATION = {"Location": "The path of the user."}

# A table is read by its rows.
# fmt: off
ACCESS_ROUTES = (
    Route("GET", "/api/v1/me/", SessionRoutes.me, "getMe", Role.VIEWER, "Read who you are, and what you may do.",
          answers={200: schema.OneCaller}),
    Route("PATCH", "/api/v1/me/", SessionRoutes.change_password, "changePassword", Role.VIEWER, "Change your password.",
          body=schema.NewPassword, answers={204: None}, errors=(409,)),
    Route("POST", "/api/v1/session/", SessionRoutes.log_in, "logIn", Role.ANYONE, "Log in with a name and a password.",
          body=schema.Credentials, answers={201: schema.Session}),
    Route("DELETE", "/api/v1/session/", SessionRoutes.log_out, "logOut", Role.VIEWER, "Log out.",
          _ALL_LOGINS, answers={204: None}, errors=(409,)),
    Route("POST", "/api/v1/invitation/", SessionRoutes.accept, "acceptInvitation", Role.ANYONE,
          "Choose a password with an invitation.",
          body=schema.Acceptance, answers={200: schema.Accepted}, errors=(404,)),
    Route("GET", "/api/v1/user/", UserRoutes.list_all, "listUsers", Role.ADMIN, "List the users.",
          answers={200: schema.Users}),
    Route("POST", "/api/v1/user/", UserRoutes.create, "createUser", Role.ADMIN, "Create a user.",
          body=schema.NewUser, answers={201: schema.OneUser}, errors=(409,), headers=_LOCATION),
    Route("GET", "/api/v1/user/{name}/", UserRoutes.get, "getUser", Role.ADMIN, "Read a user.",
          _USER, answers={200: schema.OneUser}),
    Route("PATCH", "/api/v1/user/{name}/", UserRoutes.change, "changeUser", Role.ADMIN, "Change a user.",
          _USER, body=schema.UserChange, answers={200: schema.OneUser}),
    Route("DELETE", "/api/v1/user/{name}/", UserRoutes.delete, "deleteUser", Role.ADMIN, "Delete a user.",
          _USER, answers={204: None}),
    Route("POST", "/api/v1/user/{name}/invite/", UserRoutes.invite, "inviteUser", Role.ADMIN,
          "Make an invitation with which a user chooses a password.", _USER, answers={201: schema.Invitation}),
    Route("POST", "/api/v1/user/{name}/logout/", UserRoutes.log_out, "logOutUser", Role.ADMIN,
          "End all logins of a user.", _USER, answers={204: None}),
    Route("GET", "/api/v1/token/", TokenRoutes.list_all, "listTokens", Role.ADMIN, "List the tokens.",
          answers={200: schema.Tokens}),
    Route("POST", "/api/v1/token/", TokenRoutes.create, "createToken", Role.ADMIN, "Create a token.",
          body=schema.NewToken, answers={201: schema.CreatedToken}, errors=(409,)),
    Route("DELETE", "/api/v1/token/{name}/", TokenRoutes.delete, "deleteToken", Role.ADMIN, "Delete a token.",
          _TOKEN, answers={204: None}),
    Route("GET", "/api/v1/audit/", AuditRoutes.search, "listAudit", Role.ADMIN, "Read who asked for which change.",
          _AUDIT, answers={200: schema.Entries}),
)
# fmt: on
