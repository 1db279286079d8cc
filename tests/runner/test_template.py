"""Commands and calls as templates with the job as data, in Jinja's syntax and in Go's."""

import subprocess
import time
import tracemalloc
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from kala.core.errors import Invalid
from kala.core.job import Command, HttpCall, Job, Spec
from kala.runner import template


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
        ("echo {{.Id}} {{.Retries}} {{.Epsilon}}", "echo 42 3 PT5M"),
        ("echo {{ parent_jobs | join(',') }}", "echo p,q"),
        ("echo {{ dependent_jobs[0] }} {{ .DependentJobs[-1] }}", "echo c c"),
        ("{{% if retries %}}retry{{% endif %}}", "retry"),
        ("{{% if not retries %}}a{{% elif id == '42' and 'p' in parent_jobs %}}b{{% else %}}c{{% endif %}}", "b"),
        ("{{% if id == '1' %}}a{{% elif id == '2' %}}b{{% else %}}c{{% endif %}}", "c"),
        ("{{ 'many' if 1 < retries <= 3 else 'few' }}{{ 'x' if not id }}", "many"),
        ("{{ name ~ '-' ~ retries }}", "backup-3"),
        ("{{ -1 }} {{ 1.5 }} {{ none }} {{ id not in ['1', '2'] }} {{ ('a', 'b') | length }}", "-1 1.5 None True 2"),
        ("{{ on_failure_job or 'none' }}", "none"),
        ("{{ parent_jobs[5] | default('none') }} {{ name | default('none') }}", "none backup"),
        ("{{ on_failure_job | default('none', true) }}", "none"),
        ("{{ ' Ab ' | trim | lower }} {{ name | replace('b', '') }}", "ab ackup"),
        ("{{ 'ä b/c' | urlencode }}", "%C3%A4%20b/c"),
        ("{{ parent_jobs | tojson }} {{ '\"' | tojson }}", '["p","q"] "\\""'),
        ("{{% raw %}}{{ x }}{{% endraw %}}", "{{ x }}"),
        ("echo {{# a remark #}}x", "echo x"),
        ("echo 1.5 .Name", "echo 1.5 .Name"),
        ("line\n", "line\n"),
    ],
)
def test_fields_of_the_job_are_rendered_in_jinjas_and_gos_syntax(line, expected):
    assert rendered(line) == expected


@pytest.mark.parametrize(
    "line", ["echo ${#x} ${x%.txt} {% if %} {# x #}", "awk '{print $1}'", "echo <b>&amp;</b>", "date +%s"]
)
def test_text_outside_the_delimiters_stays_unchanged(line):
    assert rendered(line) == line


@pytest.mark.parametrize(("delimiters", "line"), [("<< >>", "<<.Name>>"), ("${ }", "${ name }"), ("[[ ]]", "[[name]]")])
def test_the_job_chooses_its_delimiters(delimiters, line):
    assert rendered(line, delimiters) == "backup"


def test_without_delimiters_nothing_is_rendered():
    assert rendered("echo {{ .Name }}", "") == "echo {{ .Name }}"


def test_values_are_not_escaped_for_html():
    assert rendered("{{ '<&>' }}") == "<&>"


def test_only_the_url_and_body_of_a_call_are_rendered():
    call = HttpCall(url="http://example.org/{{.Name}}", body='{"job": "{{.Id}}"}', headers=(("X", ("{{.Name}}",)),))
    assert template.render(job(call)) == HttpCall(
        url="http://example.org/backup", body='{"job": "42"}', headers=(("X", ("{{.Name}}",)),)
    )


def test_quote_makes_a_field_one_word_for_the_shell():
    named = replace(job(Command("echo {{ name | quote }}")).spec, name="it's; rm -rf $HOME `id`")
    action = template.render(replace(job(Command("")), spec=named))
    assert subprocess.check_output(["/bin/sh", "-c", action.line], text=True) == "it's; rm -rf $HOME `id`\n"


ALLOWED = (
    "use fields, if, comparisons, and, or, not, in, ~ and the filters default, join, length, lower, quote, replace,"
    " tojson, trim, upper or urlencode"
)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{{% for one in parent_jobs %}}{{% endfor %}}", "a loop (for)"),
        ("{{% set n = 1 %}}", "an assignment (set)"),
        ("{{% set n %}}x{{% endset %}}", "an assignment (set)"),
        ("{{% with n = 1 %}}{{% endwith %}}", "an assignment (with)"),
        ("{{% macro m() %}}{{% endmacro %}}", "a macro"),
        ("{{% filter upper %}}x{{% endfilter %}}", "a filter block"),
        ("{{% block b %}}{{% endblock %}}", "a block"),
        ("{{% include 'x' %}}", "another template (include)"),
        ("{{% import 'x' as x %}}", "another template (import)"),
        ("{{% from 'x' import y %}}", "another template (import)"),
        ("{{% extends 'x' %}}", "another template (extends)"),
        ("{{% autoescape true %}}{{% endautoescape %}}", "this statement"),
        ("{{ range(9) }}", "a call"),
        ("{{ 'x'.ljust(200000000) }}", "a call"),
        ("{{ name.__class__ }}", "an attribute or method"),
        ("{{ name['__class__'] }}", "a subscript other than a number"),
        ("{{ parent_jobs[0:1] }}", "a subscript other than a number"),
        ("{{ parent_jobs[true] }}", "a subscript other than a number"),
        ("{{ name is defined }}", "a test (is)"),
        ("{{ {1: 2} }}", "a dictionary"),
        ("{{ retries + 1 }}", "arithmetic"),
        ("{{ 9 ** 9 }}", "arithmetic"),
        ("{{ 'x' * 1000 }}", "arithmetic"),
        ("{{ '%9d' % 1 }}", "arithmetic"),
        ("{{ - name }}", "arithmetic"),
        ("{{ + 1 }}", "arithmetic"),
        ("{{ name | center(1000) }}", "the filter 'center'"),
    ],
)
def test_unsafe_syntax_is_refused_by_name(line, what):
    with pytest.raises(Invalid) as refusal:
        rendered(line)
    assert str(refusal.value) == f"TemplateDelimiters: {what} cannot be used in a template; {ALLOWED}"


@pytest.mark.parametrize(
    "line",
    [
        "{{% if id == '' %}}{{% for a in 'x' %}}{{% endfor %}}{{% endif %}}",
        "{{% if id %}}x{{% else %}}{{ range(9) }}{{% endif %}}",
        "{{ 'x' if id else 9 ** 9 }}",
        "{{ id or range(9) }}",
        "{{ id == '' and range(9) }}",
        "{{ name | default(range(9)) }}",
    ],
)
def test_unsafe_syntax_is_refused_also_on_a_branch_that_is_not_taken(line):
    with pytest.raises(Invalid, match="cannot be used in a template"):
        rendered(line)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{{ nome }}", "'nome' is not a template field; use id, name, command, owner, "),
        ("{{ .Nome }}", "'Nome' is not a template field; use id, name, "),
        ("{{ 'x' if id else nome }}", "'nome' is not a template field; use id, name, "),
        ("{{ self }}{{ range }}{{ namespace }}", "'self' is not a template field; use id, "),
        ("{{ name", "invalid template: unexpected end of template"),
        ("{{% if %}}", "invalid template: Expected an expression, got 'end of statement block'"),
        ("{{ " + "1" * 5000 + " }}", "invalid template: Exceeds the limit (4300 digits)"),
        ("{{ '\x1b' ~ }}\r\n", "invalid template: unexpected 'end of print statement'"),
        ("{{ \x1b }}", r"invalid template: unexpected char '\x1b' at 3"),
        ("{{ name | join }}", "the template cannot be rendered: join requires a list"),
        ("{{ 1 < name }}", "the template cannot be rendered: '<' not supported between instances of 'int' and 'str'"),
        ("{{ parent_jobs[5] }}", "the template cannot be rendered: list index out of range"),
        ("{{ '\\ud800' }}", "the template cannot be rendered: 'utf-8' codec can't encode character '\\ud800'"),
        ("{{ '\\x00' }}", "the result of the template contains a NUL character; remove it"),
        ("{{ name | replace('a') }}", "the filter replace takes 2 arguments, not 1"),
        ("{{ name | default }}", "the filter default takes 1 or 2 arguments, not 0"),
        ("{{ name | join(d='x') }}", "the filter join takes only positional arguments; remove names and *"),
        ("{{ name | join(*parent_jobs) }}", "the filter join takes only positional arguments; remove names and *"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused_with_the_reason(line, sentence):
    with pytest.raises(Invalid) as refusal:
        rendered(line)
    assert str(refusal.value).startswith(f"TemplateDelimiters: {sentence}")


X = "x" * 1000
HOSTILE = {
    "many fields": "{{id}}" * 10_000,
    "a long concatenation": "{{ id" + "~id" * 20_000 + " }}",
    "parentheses": "{{ " + "(" * 900 + "id" + ")" * 900 + " }}",
    "filters": "{{ id" + "|upper" * 900 + " }}",
    "and": "{{ id" + " and id" * 900 + " }}",
    "not": "{{ " + "not " * 1900 + "id }}",
    "blocks": "{{% if id %}}" * 450,
    "elif": "{{% if id %}}" + "{{% elif id %}}" * 480 + "{{% endif %}}",
    "lists": "{{ " + "[" * 900 + "]" * 900 + " }}",
    "a growing text": "{{ 'x'" + f"|replace('x', '{X}')" * 20 + " }}",
    "a text between all characters": f"{{{{ '{X}' | replace('', '{X}') }}}}",
    "a long separator": "{{ ['a'" + ", 'a'" * 900 + f"] | join('{X * 30}') }}}}",
    "growing escapes": "{{ '" + "\U0001f600" * 5000 + "' | urlencode | urlencode | urlencode | urlencode }}",
    "searching again and again": "{{ 'a'" + " ~ (command in command)" * 300 + " }}" + "z" * 50_000,
    "a text that is too long": "x" * 65_537,
    "a result that is too long": "{{ command ~ command ~ command }}" + "x" * 60_000,
}


REFUSAL = r"^TemplateDelimiters: the (template (has|must be|is nested|processes)|result of the template must be) "


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_an_expensive_template_is_refused_within_milliseconds_and_kilobytes(line):
    rendered("{{ name }}")
    tracemalloc.start()
    began = time.thread_time()
    try:
        with pytest.raises(Invalid, match=REFUSAL):
            rendered(line)
        seconds, (_, peak) = time.thread_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 0.5  # with memory traced, on a busy machine; without it is about 10 ms
    assert peak < 16 * 2**20


def test_a_template_that_cannot_be_rendered_is_refused_before_the_job_is_stored():
    template.check(job(Command("echo {{ name }}")))
    with pytest.raises(Invalid, match="'nome' is not a template field"):
        template.check(job(Command("echo {{ nome }}")))


@pytest.mark.parametrize("delimiters", ["{{", "{{ }} x", "{{}}", "%% %%", " "])
def test_there_are_two_different_delimiters(delimiters):
    with pytest.raises(Invalid) as refusal:
        template.split(delimiters)
    assert str(refusal.value) == (
        f"TemplateDelimiters: must be a left and a right delimiter, such as '{{{{ }}}}', not {delimiters!r}"
    )
