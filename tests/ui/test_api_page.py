"""The page of the API: what the table of routes says, with commands that work as they are."""

import json
import re
import shlex
from html import unescape

import pytest

from kala.api import access_schema
from kala.api.examples import EXAMPLES
from kala.api.parameters import Choice, Choices, Duration, Flag, Text, Whole
from kala.api.routes import ROUTES
from kala.core.run import State
from kala.ui.pages.api import curl, values

OPERATIONS = {route.operation_id: route for route in ROUTES}


def page(api, path: str = "/api/", **headers: str) -> str:
    response = api.ask("GET", path, Accept="text/html", **headers)
    assert response.status == 200
    return response.body.decode()


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_it_describes_each_route(api, path):
    html = page(api, path)
    for route in ROUTES:
        section = html[html.index(f'id="{route.operation_id}"') :].partition("</section>")[0]
        assert f"<code>{route.method} {route.path}</code>" in section
        assert f"{unescape(route.summary)} " in unescape(section)
        assert f'<span class="pale">{route.role}</span>' in section
        names = re.findall(r"<dt><code>([^<]+)</code>", section)
        assert names == [parameter.name for parameter in route.parameters if parameter.place != "path"]


def test_it_names_the_address_that_it_was_asked_at(api):
    host = f"localhost:{api.port}"
    assert f"KALA=http://{host}\n" in page(api, Host=host)
    assert f"KALA=https://{host}\n" in page(api, Host=host, X_Forwarded_Proto="https")


def test_it_links_to_the_document_for_programs(api):
    assert '<a href="/api/v1/openapi.json">' in page(api)
    assert api.ask("GET", "/api/v1/openapi.json").status == 200


# These answer a person who has logged in, or has an invitation; the event stream does not end.
OTHERS = {"followEvents", "logOut", "changePassword", "acceptInvitation"}


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in OTHERS])
def test_its_commands_work_as_they_are(api, operation):
    route = OPERATIONS[operation]
    # Examples refer to these jobs.
    is_ended = operation != "cancelRun"
    ids = {name: api.create(name=name, command="echo" if is_ended else "sleep 600") for name in ("backup", "check")}
    run = api.ask("POST", f"/api/v1/job/start/{ids['backup']}/?return=run").json["run"]["id"]
    api.await_job(ids["backup"], success_count=int(is_ended))
    shown = unescape(re.search(rf'<pre class="code" id="{operation}-curl">(.*?)</pre>', page(api), re.DOTALL)[1])
    assert shown == curl(route)
    words = iter(shlex.split(shown)[1:])
    method, path, body = "GET", "", None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-d":
            method, body = ("POST" if method == "GET" else method), json.loads(next(words))
        else:
            path = word
    assert (method, path[:5]) == (route.method, "$KALA")
    if "$NAME" in path or operation == "logIn":
        api.ask("POST", "/api/v1/user/", EXAMPLES[access_schema.NewUser])
        api.ask("POST", "/api/v1/token/", EXAMPLES[access_schema.NewToken] | {"name": "ann"})
    elif operation in ("createUser", "createToken"):
        api.ask("DELETE", "/api/v1/user/ann/")
        api.ask("DELETE", "/api/v1/token/ci/")
    given = str(run) if path.startswith("$KALA/api/v1/run/") else ids["backup"]
    response = api.ask(method, path.removeprefix("$KALA").replace("$ID", given).replace("$NAME", "ann"), body)
    assert response.status in route.answers, response.body


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Whole(0, 1000), "0 to 1,000"),
        (Whole(1), "1 or more"),
        (Flag(), "true or false"),
        (Text(), "text"),
        (Choice(("json", "dot")), "json, dot"),
        (Choices(State), ", ".join(State) + "; several are joined by commas"),
        (Duration(), "such as PT1H or 1h"),
    ],
)
def test_values_are_said_in_words(kind, said):
    assert values(kind.schema) == said
