"""The docs agree with the code: no route, field or key is missing or made up."""

import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from kala.api import job_input, views
from kala.api.document import parse_object
from kala.api.job_fields import JOB, REMOTE
from kala.api.routes import ROUTES
from kala.config import KEYS, RELOADABLE, Config
from kala.core import limits, policy
from kala.core.fields import Group
from kala.core.job import Command, Job, Spec
from kala.core.run import Cause, Run

ROOT = Path(__file__).parent.parent
API = (ROOT / "docs/api.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
NOW = datetime.now(UTC)
BODIES = [
    (page.name, body)
    for page in sorted(ROOT.glob("docs/*.md"))
    for body in re.findall(r"^    (\{\"name\".+?)\n(?!     )", page.read_text(), re.MULTILINE | re.DOTALL)
]
DOCS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]


def test_the_api_page_has_a_heading_for_each_route_and_no_other():
    routes = {f"{route.method} {route.path}" for route in ROUTES}
    assert set(re.findall(r"^## ([A-Z]+ /.*)$", API, re.MULTILINE)) == routes


def job_json():
    run = Run(id=1, job_id="1", job_name="a", cause=Cause.MANUAL, queued_at=NOW, due_at=NOW)
    job = Job(id="1", spec=Spec(name="a", action=Command("true")), created_at=NOW, next_due=None)
    return msgspec.json.decode(msgspec.json.encode(views.job_view(job, [run])))


def default_of(field):
    if field.unset:
        return field.unset
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    if value == []:
        return "`null`"
    if isinstance(value, StrEnum):
        return f"`{value}`"
    if isinstance(value, str | list):
        return f"`{value or json.dumps(value)}`"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def rows_of(fields):
    """Return the rows of a table of fields: by their groups, and in the order of a job's JSON within a group."""
    ordered = sorted(fields.values(), key=lambda field: list(Group).index(field.group))
    return [f"| `{one.json}` | {one.kind.word} | {default_of(one)} | {one.meaning} |" for one in ordered]


def test_the_api_page_has_the_tables_of_the_fields_of_a_job_as_the_code_has_them():
    section = API.partition("\n## A job\n")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| `.*\|$", section, re.MULTILINE)
    added = [f"| `{name}` | {one.meaning} |" for name, one in views.ADDED.items()]
    assert shown == [*rows_of(JOB), *rows_of(REMOTE), *added]


def test_the_tables_of_fields_name_each_field_of_a_jobs_json():
    job = job_json()
    assert sorted(job) == sorted([*JOB, *views.ADDED])
    assert list(job["remote_properties"]) == list(REMOTE)


def test_the_job_on_the_api_page_has_the_form_that_kala_writes():
    [text] = re.findall(r"^    ({\"job\":[^…]+?}})$", API, re.MULTILINE)
    shown, written = json.loads(text)["job"], job_json()
    assert list(shown) == list(written)
    for part in ("remote_properties", "metadata"):
        assert list(shown[part]) == list(written[part])
    assert list(shown["stats"][0]) == list(written["stats"][0])


def test_the_configuration_page_tells_each_key_its_default_and_whether_it_reloads():
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|.*?\| (yes|no) \|", CONFIGURATION, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(KEYS)
    assert {name for name, _, reload in rows if reload == "yes"} == RELOADABLE
    config = Config(data_dir=Path())
    other = {"data_dir": "see below"} | dict.fromkeys(("log_file", "pid_file", "tls_certificate", "tls_key"), '`""`')
    for name, default, _ in rows:
        assert default == other.get(name, f"`{json.dumps(getattr(config, name), default=str)}`"), name


def test_the_operations_page_has_the_table_of_limits_as_the_code_has_it():
    known = [limit for limit in vars(limits).values() if isinstance(limit, limits.Limit)]
    shown = re.findall(r"^\|.*\|$", OPERATIONS.partition("\n## Limits\n")[2].partition("\n## ")[0], re.MULTILINE)
    assert shown[2:] == [f"| {limit:,} {limit.what} | {limit.then} |" for limit in known]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_the_links_on_a_page_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)(.+?)\)", page.read_text()):
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if heading:
            assert heading in headings(target), link


@pytest.mark.parametrize(("page", "body"), BODIES, ids=[page for page, _ in BODIES])
def test_a_job_shown_on_a_page_is_one_that_kala_takes(page, body):
    policy.check(job_input.parse(parse_object(body.encode())), UTC)


def headings(page):
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
