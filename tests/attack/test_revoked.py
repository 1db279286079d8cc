"""Who loses a permission has lost it at the next request, on each connection, and in responses that are being read."""

import base64
import http.client
from contextlib import closing

import pytest
from people import PASSWORD, Line, ask, bearer, cookie, cookie_name, login, token, user
from process import eventually
from scene import FAR

OTHER = "eleven loud magpies at dusk"
# A stream is checked at least every second.
SOON = 10


@pytest.fixture
def line(kala):
    with closing(Line(kala.address)) as line:
        yield line


def rest(response):
    """Return what else comes, and whether it breaks off before its end."""
    try:
        return response.read(), False
    except (http.client.IncompleteRead, ConnectionResetError) as error:
        return getattr(error, "partial", b""), True


def test_a_deleted_token_is_refused_at_the_next_request_on_the_same_connection(kala, line):
    header = bearer(token(kala, "ci", "admin"))
    assert line.ask("GET", "/job/", **header).status == 200
    assert line.ask("DELETE", "/token/ci/", **header).status == 204
    refused = line.ask("GET", "/job/", **header)
    assert refused.status == 401
    assert "revoked" in refused.json["error"]


def test_an_expired_token_is_refused(kala, line):
    header = bearer(token(kala, "short", expires_in="PT2S"))
    assert line.ask("GET", "/job/", **header).status == 200
    eventually(lambda: line.ask("GET", "/job/", **header).status == 401)


def test_a_change_of_role_takes_effect_at_the_next_request(kala, line):
    user(kala, "ann", "editor", run_as=True)  # as Kala can be root here
    header = bearer(login(kala, "ann"))
    assert line.ask("POST", "/job/", {"name": "one", "command": "true", "schedule": FAR}, **header).status == 201
    assert ask(kala, "PATCH", "/user/ann/", {"owners": ["*@db"]}).status == 200
    assert line.ask("GET", "/job/", **header).json["jobs"] == {}
    assert ask(kala, "PATCH", "/user/ann/", {"role": "viewer"}).status == 200
    # The login has another secret after a change of role, as in any session fixation.
    assert line.ask("POST", "/job/", {"name": "two", "command": "true", "schedule": FAR}, **header).status == 401
    header = bearer(login(kala, "ann"))
    assert line.ask("POST", "/job/", {"name": "two", "command": "true", "schedule": FAR}, **header).status == 403


def test_a_new_password_ends_the_other_logins_only(kala):
    user(kala, "ann")
    first, second = bearer(login(kala, "ann")), bearer(login(kala, "ann"))
    change = {"old_password": PASSWORD, "password": OTHER}
    assert ask(kala, "PATCH", "/me/", change, **first).status == 204
    assert [ask(kala, "GET", "/job/", **one).status for one in (first, second)] == [200, 401]
    assert ask(kala, "POST", "/session/", {"name": "ann", "password": PASSWORD}).status == 401


def test_who_finds_a_browser_open_cannot_change_the_password(kala):
    user(kala, "ann")
    header = bearer(login(kala, "ann"))
    change = {"old_password": "is not known to them", "password": OTHER}
    assert ask(kala, "PATCH", "/me/", change, **header).status == 400
    login(kala, "ann")


def test_all_logins_of_a_user_end_together(kala):
    user(kala, "ann")
    logins = [bearer(login(kala, "ann")) for _ in range(3)]
    assert ask(kala, "DELETE", "/session/", **logins[0]).status == 204
    assert [ask(kala, "GET", "/job/", **one).status for one in logins] == [401, 200, 200]
    assert ask(kala, "DELETE", "/session/?all=true", **logins[1]).status == 204
    assert [ask(kala, "GET", "/job/", **one).status for one in logins] == [401, 401, 401]


def test_a_deleted_user_has_no_logins(kala):
    user(kala, "ann", "admin")
    header = bearer(login(kala, "ann"))
    assert ask(kala, "DELETE", "/user/ann/").status == 204
    assert ask(kala, "GET", "/job/", **header).status == 401
    user(kala, "ann", "admin")
    assert ask(kala, "GET", "/job/", **header).status == 401


def test_a_login_that_is_not_used_ends_and_one_that_is_used_ends_later(make):
    kala = make()
    kala.config.write_text('session_idle = "PT3S"\nsession_lifetime = "PT6S"\n')
    kala.start()
    user(kala, "ann")
    used, unused = bearer(login(kala, "ann")), bearer(login(kala, "ann"))
    seen = []

    def is_over():
        seen.append(ask(kala, "GET", "/job/", **used).status)
        # With each change, Kala reads all logins again, and when they were used.
        assert ask(kala, "POST", "/token/", {"name": f"token{len(seen)}", "role": "viewer"}).status == 201
        return seen[-1] == 401

    eventually(is_over, pause=0.5)
    # Idle would have ended it after about six requests.
    assert seen.count(200) > 7
    assert ask(kala, "GET", "/job/", **unused).status == 401


def test_a_password_that_an_administrator_sets_ends_all_logins_of_the_user(kala):
    """Also while an attacker has one of them, who has perhaps an invitation, too (reported of Airflow's API)."""
    user(kala, "ann", "admin")
    header = bearer(login(kala, "ann"))
    invitation = ask(kala, "POST", "/user/ann/invite/", **header).json["invitation"]
    assert ask(kala, "PATCH", "/user/ann/", {"password": OTHER}).status == 200
    assert ask(kala, "GET", "/job/", **header).status == 401
    taken = {"invitation": invitation, "password": "thirteen sleepy owls at midnight"}
    assert ask(kala, "POST", "/invitation/", taken).status == 404
    login(kala, "ann", OTHER)


def test_an_invitation_is_for_one_user_once(kala):
    """Not for another one who gets the name later."""
    user(kala, "ann")
    first, second = (ask(kala, "POST", "/user/ann/invite/").json["invitation"] for _ in range(2))
    assert ask(kala, "POST", "/invitation/", {"invitation": first, "password": OTHER}).status == 404
    assert ask(kala, "POST", "/invitation/", {"invitation": second, "password": OTHER}).status == 200
    assert ask(kala, "POST", "/invitation/", {"invitation": second, "password": PASSWORD}).status == 404
    login(kala, "ann", OTHER)
    third = ask(kala, "POST", "/user/ann/invite/").json["invitation"]
    assert ask(kala, "DELETE", "/user/ann/").status == 204
    user(kala, "ann", "admin")
    assert ask(kala, "POST", "/invitation/", {"invitation": third, "password": OTHER}).status == 404
    assert ask(kala, "GET", "/job/", X_Forwarded_For="192.0.2.1", **bearer(third)).status == 401


# Responses that are being read


def test_events_end_for_a_token_that_is_deleted_and_for_no_other(kala):
    secrets = [token(kala, name) for name in ("first", "second")]
    with closing(Line(kala.address)) as first, closing(Line(kala.address)) as second:
        gone, kept = (
            one.begin("GET", "/events/", **bearer(secret)) for one, secret in zip((first, second), secrets, strict=True)
        )
        assert [gone.status, kept.status] == [200, 200]
        assert ask(kala, "DELETE", "/token/first/").status == 204
        secret_job = kala.create(name="created afterwards", schedule=FAR)
        received, is_broken = rest(gone)
        assert is_broken
        assert secret_job.encode() not in received
        assert eventually(lambda: secret_job.encode() in kept.readline(), limit=SOON)
    assert "first may no longer read it" in kala.log


def test_a_long_list_that_is_read_slowly_breaks_off_for_a_token_that_is_deleted(kala):
    """It would else have jobs that are created afterwards: a page of a list is read when the client has the last."""
    for number in range(60):
        kala.create(name=f"first {number}", schedule=FAR, env={"FILLER": "x" * 100_000})
    header = bearer(token(kala, "slow", "editor"))
    with closing(Line(kala.address)) as line:
        response = line.begin("GET", "/job/", **header)
        assert response.status == 200
        assert ask(kala, "DELETE", "/token/slow/").status == 204
        kala.create(name="created afterwards", schedule=FAR)
        received, is_broken = rest(response)
    assert is_broken
    assert b"created afterwards" not in received


@pytest.mark.parametrize("loss", ["logout", "role", "owners", "user"])
def test_output_that_is_followed_breaks_off_for_who_loses(kala, gate, loss):
    """It does not end as a whole one, which the client would take for the output of a run that has ended."""
    user(kala, "ann", "operator")
    header = bearer(login(kala, "ann"))
    job = kala.create(command=f"echo before; {gate.wait}; echo secret", schedule=FAR)
    kala.go(job)
    [run] = eventually(lambda: kala.runs(job, states=("running",)))
    with closing(Line(kala.address)) as line:
        response = line.begin("GET", f"/run/{run['id']}/output?follow=true", **header)
        assert response.read1(7) == b"before\n"
        change = {
            "logout": ("POST", "/user/ann/logout/", None),
            "role": ("PATCH", "/user/ann/", {"role": "viewer"}),
            "owners": ("PATCH", "/user/ann/", {"owners": ["*@db"]}),
            "user": ("DELETE", "/user/ann/", None),
        }[loss]
        assert ask(kala, *change).status < 300
        received, is_broken = rest(response)
    gate.open()
    kala.runs(job, 1)
    assert (received, is_broken) == (b"", True)


def test_output_that_is_followed_breaks_off_when_the_job_gets_an_owner_whom_its_reader_does_not_see(kala, gate):
    header = bearer(token(kala, "db", owners=["*@db"]))
    job = kala.create(command=f"echo before; {gate.wait}; echo secret", schedule=FAR, owner="ann@db")
    kala.go(job)
    [run] = eventually(lambda: kala.runs(job, states=("running",)))
    with closing(Line(kala.address)) as line:
        response = line.begin("GET", f"/run/{run['id']}/output?follow=true", **header)
        assert response.read1(7) == b"before\n"
        assert ask(kala, "PATCH", f"/job/{job}/", {"owner": "ann@web"}).status == 200
        received, is_broken = rest(response)
    gate.open()
    kala.runs(job, 1)
    assert (received, is_broken) == (b"", True)


def test_events_end_for_who_logs_out_though_the_machine_would_know_them(kala):
    user(kala, "ann")
    secret = login(kala, "ann")
    with closing(Line(kala.address)) as line:
        response = line.begin("GET", "/events/", **cookie(kala, secret))
        assert ask(kala, "POST", "/user/ann/logout/").status == 204
        assert rest(response)[1]


def test_events_end_for_a_proxys_user_whose_role_was_taken_away(make):
    kala = make()
    settings = (
        'trusted_proxies = ["127.0.0.1"]\nproxy_user_header = "X-Remote-User"\nproxy_groups_header = "X-Groups"\n'
    )
    kala.config.write_text(settings + 'group_roles = { ops = "viewer", dev = "viewer" }\n')
    kala.start()
    ann = {"X_Remote_User": "ann", "X_Groups": "ops", "X_Forwarded_For": "192.0.2.1"}
    with closing(Line(kala.address)) as line:
        response = line.begin("GET", "/events/", **ann)
        assert response.status == 200
        kala.config.write_text(settings + 'group_roles = { dev = "viewer" }\n')
        kala.send(1)
        assert rest(response)[1]


# What is no credential


def test_a_secret_counts_only_where_it_belongs(kala):
    user(kala, "ann", "admin")
    session, secret = login(kala, "ann"), token(kala, "ci", "admin")
    stranger = {"X_Forwarded_For": "192.0.2.1"}
    name = cookie_name(kala)
    asked = {
        "token as a cookie": ("", cookie(kala, secret)),
        "session as a cookie of HTTPS": ("", cookie(kala, session, f"__Host-{name}")),
        "session as the cookie of another Kala": ("", cookie(kala, session, "kala-00000000")),
        "session as the cookie in capitals": ("", cookie(kala, session, name.upper())),
        "session in a query": (f"?token={session}", {}),
        "token in a query": (f"?access_token={secret}&token={secret}&authorization=Bearer+{secret}", {}),
        "token as the name of Basic": ("", basic(f"{secret}:")),
        "token as the name of Basic, with a password": ("", basic(f"{secret}:x")),
        "token of another scheme": ("", {"Authorization": f"Token {secret}"}),
        "token without a scheme": ("", {"Authorization": secret}),
        "two tokens": ("", {"Authorization": f"Bearer {secret}, Bearer {secret}"}),
        "token in another header": ("", {"X_Api_Key": secret, "Proxy_Authorization": f"Bearer {secret}"}),
        "token cut off": ("", bearer(secret[:-1])),
        "token and more": ("", bearer(f"{secret}0")),
        "token in other letters": ("", bearer(secret.swapcase())),
        "digest of the token": ("", bearer(kala.query("SELECT hex(digest) FROM token")[0][0])),
    }
    found = {
        what: ask(kala, "GET", f"/me/{query}", **stranger, **headers).status for what, (query, headers) in asked.items()
    }
    assert {what: status for what, status in found.items() if status not in (400, 401)} == {}
    right = {
        "session as a cookie": cookie(kala, session),
        "session as a token": bearer(session),
        "token": bearer(secret),
        "token with another spelling of the scheme": {"Authorization": f"bEARER   {secret}  "},
        "token as a password": basic(f":{secret}"),
        "token as a password of a name": basic(f"ci:{secret}"),
    }
    assert {
        what for what, headers in right.items() if ask(kala, "GET", "/me/", **stranger, **headers).status != 200
    } == set()


def basic(text):
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def test_a_name_and_a_password_are_no_basic_credentials(kala):
    """Every request would cost as much as a login."""
    user(kala, "ann", "admin")
    assert ask(kala, "GET", "/me/", X_Forwarded_For="192.0.2.1", **basic(f"ann:{PASSWORD}")).status == 401


def test_a_cookie_that_another_site_of_the_host_has_added_is_no_login_of_its_choice(kala):
    """Cookie tossing: the page of another port or a subdomain can set a cookie of the same name."""
    user(kala, "ann", "admin")
    user(kala, "mallory")
    anns, mallorys, name = login(kala, "ann"), login(kala, "mallory"), cookie_name(kala)
    for cookies in (f"{name}={mallorys}; {name}={anns}", f"{name}={anns};{name}={mallorys}"):
        answer = ask(kala, "GET", "/me/", Cookie=cookies)
        assert (answer.status, "given twice" in answer.json["error"]) == (401, True), cookies
    assert ask(kala, "GET", "/me/", Cookie=f"{name}={anns}; a=b; {name}={anns}").json["me"]["user"] == "ann"


BROKEN = """
{name}={secret}x | {name}= | {name} | {name}={long} | {name}="{secret} | {name}="{secret}" | {name}="\\{secret}"
{name}[]={secret} | ${name}={secret} | {name}={secret},{name}={secret} | a={long}; {name}=x | \xff\xfe; {name}=x
;;;=;{name}==; | {name} ={secret} | {name}=%6b{secret} | a="{name}={secret} | {name}="{backslashes}"
"""


def test_a_broken_cookie_is_none(kala):
    user(kala, "ann", "admin")
    secret, stranger = login(kala, "ann"), {"X_Forwarded_For": "192.0.2.1"}
    for text in (one.strip() for line in BROKEN.strip().splitlines() for one in line.split("|")):
        sent = text.format(name=cookie_name(kala), secret=secret, long="y" * 30_000, backslashes="\\" * 30_000)
        assert ask(kala, "GET", "/me/", **stranger, Cookie=sent).status in (401, 431), text
    assert ask(kala, "GET", "/me/", **stranger, **cookie(kala, secret)).status == 200
    kala.settle()
    assert "Traceback" not in kala.log


def test_a_login_gets_a_secret_of_its_own_whatever_the_client_brings(kala):
    """Session fixation: nothing that a client sends becomes the secret of a login."""
    user(kala, "ann")
    brought = login(kala, "ann")
    new = login(kala, "ann", **cookie(kala, brought), Origin=kala.address)
    assert new != brought
    assert login(kala, "ann") not in (new, brought)
