"""Commands and calls as templates with the job as data, in Jinja's form and in Go's."""

from datetime import UTC, datetime

import pytest

from kala.core.errors import Invalid
from kala.core.job import Command, HttpCall, Job, Spec
from kala.engine import template


def job(action: Command | HttpCall, delimiters: str = "{{ }}") -> Job:
    spec = Spec(
        name="backup",
        action=action,
        owner="ann@example.org",
        retries=3,
        epsilon="PT5M",
        parents=("p", "q"),
        template_delimiters=delimiters,
    )
    return Job(id="42", spec=spec, created_at=datetime(2030, 1, 1, tzinfo=UTC), next_due=None, children=("c",))


def rendered(line: str, delimiters: str = "{{ }}") -> str:
    action = template.render(job(Command(line), delimiters))
    assert isinstance(action, Command)
    return action.line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("echo {{ name }}", "echo backup"),
        ("echo {{name}}", "echo backup"),
        ("echo {{.Name}}", "echo backup"),
        ("echo {{ .Name }}", "echo backup"),
        ("echo {{$.Owner}}", "echo ann@example.org"),
        ("echo {{- .Name -}} x", "echobackupx"),
        ("echo {{ .Name | upper }}", "echo BACKUP"),
        ("echo {{ retries + 1 }}", "echo 4"),
        ("echo {{.Id}} {{.Retries}} {{.Epsilon}}", "echo 42 3 PT5M"),
        ("echo {{ parent_jobs | join(',') }}", "echo p,q"),
        ("echo {{ dependent_jobs[0] }} {{ .DependentJobs[0] }}", "echo c c"),
        ("{{% if retries %}}retry{{% endif %}}", "retry"),
        ("echo {{# a remark #}}x", "echo x"),
        ("echo 1.5 .Name", "echo 1.5 .Name"),
        ("line\n", "line\n"),
    ],
)
def test_fields_of_the_job_are_filled_in_in_jinjas_and_in_gos_form(line, expected):
    assert rendered(line) == expected


@pytest.mark.parametrize(
    "line", ["echo ${#x} ${x%.txt} {% if %} {# x #}", "awk '{print $1}'", "echo <b>&amp;</b>", "date +%s"]
)
def test_what_is_not_between_the_delimiters_stays_as_it_is(line):
    assert rendered(line) == line


@pytest.mark.parametrize(("delimiters", "line"), [("<< >>", "<<.Name>>"), ("${ }", "${ name }"), ("[[ ]]", "[[name]]")])
def test_the_job_chooses_its_delimiters(delimiters, line):
    assert rendered(line, delimiters) == "backup"


def test_without_delimiters_nothing_is_filled_in():
    assert rendered("echo {{ .Name }}", "") == "echo {{ .Name }}"


def test_what_is_filled_in_is_not_made_fit_for_html():
    assert rendered("{{ '<&>' }}") == "<&>"


def test_a_calls_address_and_body_are_filled_in_and_the_rest_stays():
    call = HttpCall(url="http://example.org/{{.Name}}", body='{"job": "{{.Id}}"}', headers=(("X", ("{{.Name}}",)),))
    assert template.render(job(call)) == HttpCall(
        url="http://example.org/backup", body='{"job": "42"}', headers=(("X", ("{{.Name}}",)),)
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{{ nome }}", "'nome' is undefined"),
        ("{{ .Nome }}", "'Nome' is undefined"),
        ("{{ name", "unexpected end of template"),
        ("{{ name.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe."),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'x' * 1000000000 }}", "texts and lists cannot be multiplied here"),
        ("{{ 9 ** 9 ** 9 }}", "numbers that large are not possible here"),
        ("{{ range(1000000000) | list }}", "Range too big. The sandbox blocks ranges larger than"),
        ("{{ '\\x00' }}", "the text would have a NUL character"),
        ("{{ '\\ud800' }}", "'utf-8' codec can't encode character"),
        ("{{% if %}}", "Expected an expression, got 'end of statement block'"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused_with_the_reason(line, reason):
    with pytest.raises(Invalid) as refusal:
        rendered(line)
    sentence = str(refusal.value)
    assert sentence.startswith(f"TemplateDelimiters: the template cannot be rendered: {reason}")
    assert sentence.endswith("; mend it or leave them out")


def test_a_job_whose_template_cannot_be_rendered_is_found_before_it_is_stored():
    template.check(job(Command("echo {{ name }}")))
    with pytest.raises(Invalid, match="'nome' is undefined"):
        template.check(job(Command("echo {{ nome }}")))


@pytest.mark.parametrize("delimiters", ["{{", "{{ }} x", "{{}}", "%% %%", " "])
def test_delimiters_are_two_and_differ(delimiters):
    with pytest.raises(Invalid) as refusal:
        template.split(delimiters)
    assert str(refusal.value) == (
        f"TemplateDelimiters: {delimiters!r} is not a left and a right delimiter; give two, as '{{{{ }}}}'"
    )
