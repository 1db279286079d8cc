"""The fields about permissions, which the forms of users and tokens share."""

from typing import Any

import msgspec

from kala.ui.forms import Form


class Permissions(msgspec.Struct, frozen=True):
    """What a form says about the role and its limits, as it stands in the form."""

    role: str = "viewer"
    owners: str = ""
    run_as: bool = False

    @property
    def as_json(self) -> dict[str, Any]:
        """The fields of a request. In a form, each pattern has a line."""
        owners = [line.strip() for line in self.owners.split("\n") if line.strip()]
        return {"role": self.role, "owners": owners, "run_as": self.run_as}


def permissions_in(form: Form) -> Permissions:
    return Permissions(form.get("role"), form.get("owners"), bool(form.get("run_as")))
