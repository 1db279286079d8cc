"""An action on many jobs of the list: the question with their number, and what was not possible."""

from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any, NamedTuple

from kala.api import schema
from kala.api.http import Request, Response
from kala.api.parameters import IDEMPOTENCY_KEY
from kala.core.errors import Conflict, Invalid
from kala.ui.forms import Form, number_in
from kala.ui.pages.jobs import FILTERS
from kala.ui.site import Site, see_other

# How many jobs a question or a list of failures names; the API finds up to 100 jobs by their ids.
_NAMED = 10
_MOST_IDS = 100
_ACTIONS = {"enable": "Enable", "disable": "Disable", "start": "Run", "delete": "Delete"}
_LISTS = ("tag", "state")
_FLAGS = ("planned", "disabled", "done")


class _Selection(NamedTuple):
    """Which jobs a form means: those that were ticked, or all that match the filters of the list."""

    ids: list[str]
    filters: dict[str, str]

    @property
    def as_parameters(self) -> dict[str, str]:
        return {"ids": ",".join(self.ids)} if self.ids else self.filters

    @property
    def as_json(self) -> dict[str, Any]:
        return {"ids": self.ids} if self.ids else {"filter": dict(map(_in_json, self.filters.items()))}


class BulkPage:
    """`/jobs/bulk`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def answer(self, request: Request) -> Response:
        """Ask whether to do it, or do it if the form is that of the question."""
        form = Form(request.body)
        action, selection = form.get("action"), _selection(form)
        if action not in _ACTIONS:
            raise Invalid(f"action: must be one of {', '.join(_ACTIONS)}")
        if not form.get("expect"):
            return self._ask(form, action, selection)
        body = {"action": action, "expect": number_in(form.get("expect"), -1), **selection.as_json}
        try:
            result = self._site.backend.do("changeJobs", body=body, headers={IDEMPOTENCY_KEY.name: form.get("key")})
        except Conflict as error:  # the number is another one now
            return self._ask(form, action, selection, status=409, alert=str(error))
        back = form.back or "/jobs"
        if not result["failed"]:
            return see_other(back)
        return self._site.page(
            "bulk_result.html",
            verb=_ACTIONS[action],
            done=result["done"],
            failed=result["failed"],
            names=self._names([failure["id"] for failure in result["failed"]]),
            back=back,
        )

    def _ask(self, form: Form, action: str, selection: _Selection, *, status: int = 200, alert: str = "") -> Response:
        found = self._site.backend.read(
            schema.Summaries,
            "listJobs",
            fields="summary",
            sort="name",
            limit=_NAMED,
            count="true",
            **selection.as_parameters,
        )
        back = form.back or "/jobs"
        return self._site.page(
            "bulk_question.html",
            status=status,
            alert=alert,
            action=action,
            verb=_ACTIONS[action],
            total=found.total,
            is_capped=found.is_total_capped,
            named=found.jobs,
            selection=selection,
            back=back,
            key=token_urlsafe(),
        )

    def _names(self, ids: list[str]) -> Mapping[str, str]:
        found = self._site.backend.read(
            schema.Summaries, "listJobs", fields="summary", ids=",".join(ids[:_MOST_IDS]), limit=_MOST_IDS
        )
        return {job.id: job.name for job in found.jobs}


def _selection(form: Form) -> _Selection:
    if form.get("all"):
        return _Selection([], {name: form.get(name) for name in FILTERS if form.get(name)})
    if not form.all("ids"):
        raise Invalid("no job is ticked; go back, tick the jobs that you mean, and try again")
    return _Selection(form.all("ids"), {})


def _in_json(given: tuple[str, str]) -> tuple[str, Any]:
    """Return a filter of the list as a bulk request has it."""
    name, value = given
    if name in _LISTS:
        return name, value.split(",")
    return name, value in ("true", "1") if name in _FLAGS else value
