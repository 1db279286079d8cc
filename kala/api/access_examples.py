"""Examples of requests and responses about users, tokens and logins, for the OpenAPI document."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kala.api import access_schema as schema
from kala.core.account import Action
from kala.core.caller import Role

_NOW = datetime(2030, 1, 1, 9, tzinfo=UTC)
_DAY = timedelta(days=1)
# Of the right form, with a wrong checksum: no scanner takes it for a secret that has leaked.
_SECRET = "kala_ExampleExampleExampleExampleExam000000"  # noqa: S105
_PASSWORD = "four plain English words"  # noqa: S105
_LOGIN = schema.Login(_NOW - _DAY, _NOW, "192.0.2.7", "Mozilla/5.0 (X11; Linux x86_64)", is_this=True)
_USER = schema.User(
    name="ann",
    role=Role.EDITOR,
    owners=["*@db.example"],
    run_as=False,
    has_password=True,
    created_at=_NOW - 30 * _DAY,
    last_login=_NOW - _DAY,
)
_TOKEN = schema.Token(
    name="ci",
    role=Role.OPERATOR,
    owners=[],
    run_as=False,
    created_by="user:ann",
    created_at=_NOW,
    expires_at=_NOW + 365 * _DAY,
    last_used=None,
)
_SHOWN = [
    schema.OneCaller(schema.Me("user:ann", Role.EDITOR, ["*@db.example"], False, "192.0.2.7", "ann", [_LOGIN])),
    schema.NewPassword("the old password", _PASSWORD),
    schema.Credentials("ann", _PASSWORD),
    schema.Session(_SECRET, "ann", Role.EDITOR, _NOW + 30 * _DAY),
    schema.NewUser("ann", Role.EDITOR, ["*@db.example"], password=_PASSWORD),
    schema.UserChange(role=Role.VIEWER),
    schema.OneUser(_USER, [_LOGIN]),
    schema.Users([_USER]),
    schema.Invitation(_SECRET, "ann", _NOW + timedelta(hours=1)),
    schema.Acceptance(_SECRET, _PASSWORD),
    schema.Accepted("ann"),
    schema.NewToken("ci", Role.OPERATOR, expires_in="P90D"),
    schema.CreatedToken(_SECRET, _TOKEN),
    schema.Tokens([_TOKEN]),
    schema.Entries(
        [
            schema.Entry(
                id=7,
                at=_NOW,
                actor="user:ann",
                address="192.0.2.7",
                action=Action.JOB_UPDATE,
                target="d49ef221-642e-4374-8cc4-8a429d06aefd",
                name="backup",
                refused=None,
                changed={"retries": [0, 2]},
            )
        ],
        next_before=None,
    ),
]
ACCESS_EXAMPLES: dict[Any, Any] = {type(shown): msgspec.to_builtins(shown) for shown in _SHOWN}
