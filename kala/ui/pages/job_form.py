"""The form of a job: to create one, to change one, and to create one like another; also as JSON."""

import json
import secrets
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import msgspec

from kala.api.application import status_of
from kala.api.document import parse_object
from kala.api.http import Request, Response
from kala.api.job_fields import JOB, REMOTE, RESUME
from kala.api.names import by_name
from kala.api.parameters import IDEMPOTENCY_KEY, IF_MATCH
from kala.api.views import JOB_FIELDS
from kala.core.errors import Conflict, KalaError, NotFound, Outdated
from kala.core.foreign import presentable
from kala.core.job import Missed
from kala.ui import job_sections
from kala.ui.forms import Form
from kala.ui.job_texts import as_sent, change, flat, job_of, texts_of, tidied, without_defaults
from kala.ui.pages.preview import Preview, PreviewPage
from kala.ui.recipes import recipes
from kala.ui.site import Site, see_other
from kala.zone import known_zones

# Ids of more parents than this are shown as they are.
_MOST_NAMED = 50


class _Stored(NamedTuple):
    """A job as it is stored: in JSON, with the names of the jobs that it names by id, and its entity tag."""

    job: dict[str, Any]
    names: dict[str, str]
    etag: str = ""


_NOTHING = _Stored({}, {})


class _Draft(NamedTuple):
    """What a person has typed: the texts of a form, or JSON.

    `job_id` is that of the job to change; `base` has the digests of its texts, and `etag` is its entity tag, both from
    when the person began.
    `origin` is the job to copy, and `key` makes the creation one, however often the form is sent.
    """

    job_id: str = ""
    origin: str = ""
    base: str = ""
    etag: str = ""
    key: str = ""
    texts: Mapping[str, str] = MappingProxyType({})
    source: str = ""
    is_json: bool = False

    @classmethod
    def sent(cls, job_id: str, form: Form) -> "_Draft":
        is_json = form.get("as") == "json"
        return cls(
            job_id,
            form.get("origin"),
            form.get("base"),
            form.get("etag"),
            form.get("key"),
            {} if is_json else {path: form.get(path) for path in flat()},
            form.get("source"),
            is_json,
        )

    def job(self, stored: _Stored) -> dict[str, Any]:
        """Return the job in the API's JSON. Raise Invalid for what is not one; the API checks the rest."""
        if self.is_json:
            return _canonical(parse_object(self.source.encode()))
        job = job_of(self.texts, stored.job, stored.names)
        return job if self.job_id else without_defaults(job, is_new=True)

    def begun(self, stored: _Stored) -> "_Draft":
        """Return the draft as a change of the job as it is now."""
        return self._replace(base=json.dumps(_digests(texts_of(stored.job, stored.names))), etag=stored.etag)

    def combined(self, stored: _Stored) -> "_Draft":
        """Return the draft without the fields that the person has not changed, but somebody else may have."""
        theirs, mine = texts_of(stored.job, stored.names), texts_of(self.job(stored), stored.names)
        base, now = parse_object(self.base.encode()), _digests(mine)
        texts = {path: theirs[path] if now[path] == base.get(path) else mine[path] for path in flat()}
        return self._replace(texts=texts, is_json=False).begun(stored)


class JobForm:
    """`/jobs/new` and `/jobs/{id}/edit`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._preview = PreviewPage(site)

    def new(self, request: Request) -> Response:
        origin = request.query.get("copy", "")
        stored = self._stored(origin)
        texts = texts_of(stored.job, stored.names)
        if origin:
            texts["name"] += " copy"
        return self._show(_Draft(origin=origin, key=secrets.token_urlsafe(12), texts=texts))

    def edit(self, request: Request) -> Response:
        stored = self._stored(request.path["id"])
        texts = texts_of(stored.job, stored.names)
        draft = _Draft(request.path["id"], key=secrets.token_urlsafe(12), texts=texts)
        return self._show(draft.begun(stored), name=texts["name"])

    def send_new(self, request: Request) -> Response:
        return self._answer(_Draft.sent("", Form(request.body)), Form(request.body).get("do"))

    def send_edit(self, request: Request) -> Response:
        return self._answer(_Draft.sent(request.path["id"], Form(request.body)), Form(request.body).get("do"))

    def _answer(self, draft: _Draft, act: str) -> Response:
        try:
            stored = self._stored(draft.job_id or draft.origin)
        except NotFound as error:
            draft = draft._replace(job_id="", origin="")
            return self._show(draft, status=404, error=f"{presentable(str(error))}; Save creates a new job")
        name = stored.job["name"] if draft.job_id else ""
        try:
            return self._carried_out(draft, act, stored, name)
        except Outdated:
            # The next answer to the same form counts for what is shown beside it now.
            stored = self._stored(draft.job_id)
            differences = _differences(stored, draft)
            return self._show(draft._replace(etag=stored.etag), name=name, status=412, differences=differences)
        except KalaError as error:
            return self._show(draft, name=name, status=status_of(error), error=presentable(str(error)))

    def _carried_out(self, draft: _Draft, act: str, stored: _Stored, name: str) -> Response:
        job = draft.job(stored)
        if act == ("json" if draft.is_json else "form"):
            return self._show(draft, name=name)
        if act == "form":
            return self._show(draft._replace(is_json=False, texts=texts_of(job, stored.names)), name=name)
        if act == "json":
            source = _written(without_defaults(job, is_new=not draft.job_id))
            return self._show(draft._replace(is_json=True, source=source), name=name)
        if act == "combine":
            return self._show(draft.combined(stored), name=name, is_combined=True)
        if act == "check":
            self._check(draft, job, stored)
            return self._show(draft, name=name, is_fine=True)
        return see_other(self._save(draft, job, stored, is_run=act == "run"))

    def _check(self, draft: _Draft, job: dict[str, Any], stored: _Stored) -> None:
        if draft.job_id:
            self._site.backend.do("checkJob", body=_raw(change(stored.job, job)), query={"job": draft.job_id})
        else:
            self._site.backend.do("checkJob", body=_raw(job))

    def _save(self, draft: _Draft, job: dict[str, Any], stored: _Stored, *, is_run: bool) -> str:
        """Save the job, and return the path of the page that follows."""
        backend = self._site.backend
        if draft.job_id:
            job_id, body = draft.job_id, _raw(change(stored.job, job))
            backend.do("changeJob", job_id, body=body, headers={IF_MATCH.name: draft.etag})
        else:
            job_id = backend.do("createJob", body=_raw(job), headers=_once(draft.key, job))["id"]
        if not is_run:
            return f"/jobs/{job_id}"
        # A new job without a schedule runs at once.
        runs = [] if draft.job_id else backend.do("listRunsOfJob", job_id, query={"limit": "1"})["runs"]
        if not runs:
            headers = _once(f"{draft.key}-run", job)
            runs = [backend.do("startJob", job_id, query={"return": "run"}, headers=headers)["run"]]
        return f"/runs/{runs[0]['id']}"

    def _stored(self, job_id: str) -> _Stored:
        if not job_id:
            return _NOTHING
        response = self._site.backend.respond("getJob", job_id)
        job = msgspec.json.decode(cast("bytes", response.body))["job"]
        ids = [*(job["parent_jobs"] or [])[:_MOST_NAMED], *filter(None, [job["on_failure_job"]])]
        names = {one: self._name_of(one) for one in ids}
        return _Stored(tidied(job), names, response.headers["ETag"])

    def _name_of(self, job_id: str) -> str:
        """Return the name of a job or, if others have the same name, the id."""
        backend = self._site.backend
        try:
            name = str(backend.read(dict[str, Any], "getJob", job_id)["job"]["name"])
            return name if backend.read(dict[str, Any], "getJob", name)["job"]["id"] == job_id else job_id
        except (Conflict, NotFound):
            return job_id

    def _show(
        self,
        draft: _Draft,
        *,
        name: str = "",
        status: int = 200,
        error: str = "",
        is_fine: bool = False,
        is_combined: bool = False,
        differences: list["_Difference"] | None = None,
    ) -> Response:
        field = "" if draft.is_json else job_sections.field_of(error)
        return self._site.page(
            "job_form.html",
            status=status,
            draft=draft,
            name=name,
            sections=[] if draft.is_json else list(job_sections.sections(draft.texts, {field: error})),
            error=error,
            error_id=job_sections.id_of(field) if field else "",
            is_fine=is_fine,
            is_combined=is_combined,
            differences=differences,
            preview=self._previewed(draft),
            recipes=recipes(self._site.zone),
            zones=sorted(known_zones()),
        )

    def _previewed(self, draft: _Draft) -> Preview | None:
        try:
            return self._preview.of(draft.job(_NOTHING))
        except KalaError:  # shown with the field that it is about
            return None


class _Difference(NamedTuple):
    """A field in which two versions of a job differ."""

    label: str
    theirs: str
    yours: str


def _digests(texts: Mapping[str, str]) -> dict[str, str]:
    return {path: blake2b(as_sent(path, text).encode(), digest_size=6).hexdigest() for path, text in texts.items()}


def _differences(stored: _Stored, draft: _Draft) -> list[_Difference]:
    theirs = texts_of(stored.job, stored.names)
    yours = texts_of(draft.job(stored), stored.names)
    return [
        _Difference(job_sections.label_of(path), theirs[path], yours[path])
        for path in flat()
        if theirs[path] != yours[path]
    ]


def _canonical(given: dict[str, Any]) -> dict[str, Any]:
    """Return a job with the names of its fields as the API writes them. Raise Invalid for an unknown name."""
    keys = {field.key: name for name, field in JOB.items()}
    found = {keys.get(key, name): value for key, (name, value) in by_name("", given, keys, JOB_FIELDS).items()}
    # Forms have one field for both.
    if found.get(RESUME.json) is True and "missed" not in found:
        found["missed"] = Missed.SKIP
        del found[RESUME.json]
    if isinstance(remote := found.get("remote_properties"), dict):
        names = {field.key: name for name, field in REMOTE.items()}
        path = "remote_properties"
        found[path] = {names[key]: value for key, (_, value) in by_name(path, remote, names).items()}
    return found


def _written(job: Mapping[str, Any]) -> str:
    return json.dumps(job, ensure_ascii=False, indent=2)


def _raw(job: Mapping[str, Any]) -> msgspec.Raw:
    # Not by msgspec, which cannot write the numbers of `parse_object`.
    return msgspec.Raw(json.dumps(job).encode())


def _once(key: str, job: Mapping[str, Any]) -> dict[str, str]:
    """Return the header with which a form that is sent again with the same content does nothing more."""
    digest = blake2b(json.dumps(job).encode(), digest_size=9).hexdigest()
    return {IDEMPOTENCY_KEY.name: f"form-{key}-{digest}"}
