import socket

import pytest

from kala.client import Invalid, Unauthorized, address
from kala.client.address import Address, find, parse

ONE_TOKEN = "must have one token on one line, in visible ASCII characters"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(address, "_SYSTEM_SOCKET", tmp_path / "run/kala.sock")
    return tmp_path


@pytest.fixture
def found(home):
    """Find the server with these variables."""
    return lambda url=None, token=None, server=None, **environ: find(
        url, token, server=server, environ={"HOME": str(home)} | environ
    )


@pytest.fixture
def configure(home):
    def configure(text):
        file = home / ".config/kala/cli.toml"
        file.parent.mkdir(parents=True)
        file.write_text(text)

    return configure


def write_token(file, text):
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    return str(file)


@pytest.fixture
def listening(home):
    """Listen on a Unix socket at a path below the home directory."""
    opened = []

    def listening(path):
        (home / path).parent.mkdir(parents=True)
        opened.append(socket.socket(socket.AF_UNIX))
        opened[-1].bind(str(home / path))
        opened[-1].listen()
        return f"unix://{home / path}"

    yield listening
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost", Address("http://localhost", "localhost", 80)),
        ("http://[::1]:8000/", Address("http://[::1]:8000/", "::1", 8000)),
        ("https://k.example/kala/", Address("https://k.example/kala/", "k.example", 443, prefix="/kala", is_tls=True)),
        ("unix:///run/a%20b.sock", Address("unix:///run/a%20b.sock", socket="/run/a b.sock")),
    ],
)
def test_a_url_has_these_parts(url, address):
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x", "http://", "http://x:port", "http://x:99999", "unix://host/x", "http://u@x"],
)
def test_anything_else_is_not_a_url(url):
    with pytest.raises(Invalid, match="url: must be like http://HOST:PORT, https://HOST or unix:///PATH, not "):
        parse(url)


def test_without_anything_it_is_the_default_port(found):
    assert found().url == "http://127.0.0.1:8000"


def test_a_given_url_comes_before_the_variable_which_comes_before_the_file(found, configure):
    configure('[server.a]\nurl = "http://a"\n')
    assert found().url == "http://a"
    assert found(KALA_URL="http://b").url == "http://b"
    assert found("http://c", KALA_URL="http://b").url == "http://c"
    assert found(server="a", KALA_URL="http://b").url == "http://a"


def test_with_several_servers_the_file_names_the_default(found, configure):
    configure('default = "b"\n[server.a]\nurl = "http://a"\n[server.b]\nurl = "https://b"\nca = "/ca.pem"\n')
    assert (found().url, found().ca) == ("https://b", "/ca.pem")
    assert found(server="a").url == "http://a"


def test_an_unknown_server_is_an_error_with_the_file(found, home):
    with pytest.raises(Invalid, match=r"cli.toml: has no server 'x'; add \[server.x\] with url = "):
        found(server="x")


@pytest.mark.parametrize(
    "text", ["server = ", "server = 1", "[server.a]\nurl = 1\n", '[server.a]\nurl = "http://a"\nport = "1"\n']
)
def test_a_wrong_file_is_an_error(found, configure, text):
    configure(text)
    with pytest.raises(Invalid, match=r"cli\.toml: "):
        found()


def test_for_a_url_too_a_wrong_file_is_an_error(found, configure):
    configure("server = 1")
    with pytest.raises(Invalid, match=r"cli\.toml: server must be tables"):
        found("http://a")


def test_a_file_that_is_not_utf_8_is_an_error(found, configure, home):
    configure("")
    (home / ".config/kala/cli.toml").write_bytes(b"# \xe4")
    with pytest.raises(Invalid, match=r"cli\.toml: must be UTF-8"):
        found()


def test_the_sockets_of_the_service_and_of_the_users_own_kala_come_before_the_port(found, listening):
    own = listening(".local/share/kala/kala.sock")
    assert found().url == own
    system = listening("run/kala.sock")
    assert found().url == system
    assert found(KALA_URL="http://a").url == "http://a"


def test_a_socket_that_nobody_listens_on_is_passed_over(found, home):
    (home / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(home / "run/kala.sock"))
    assert found().url == "http://127.0.0.1:8000"


def test_a_token_is_given_or_in_a_variable_or_in_a_file(found, home):
    file = home / "token"
    file.write_text("from-file\n")
    file.chmod(0o600)
    assert found(KALA_TOKEN_FILE=str(file)).token == "from-file"
    assert found(KALA_TOKEN_FILE="~/token").token == "from-file"
    assert found(KALA_TOKEN="t", KALA_TOKEN_FILE=str(file)).token == "t"
    assert found(token="given", KALA_TOKEN="t").token == "given"
    assert repr(found(token="given")) == "Address('http://127.0.0.1:8000')"


def test_a_token_that_others_can_read_is_refused(found, home):
    file = home / "token"
    file.write_text("t")
    file.chmod(0o640)
    with pytest.raises(Invalid, match="others can read it; run chmod 600"):
        found(KALA_TOKEN_FILE=str(file))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; write the token into it"),
        (b" \n", "is empty; write the token into it"),
        (b"a\nb\n", ONE_TOKEN),
        (b"two words\n", ONE_TOKEN),
        ("ä".encode(), ONE_TOKEN),
        (b"a\0", ONE_TOKEN),
    ],
)
def test_a_file_without_a_token_is_an_error_with_its_name(found, configure, home, content, reason):
    configure('[server.a]\nurl = "http://a"\ntoken_file = "~/token"\n')
    write_token(home / "token", "")
    (home / "token").write_bytes(content)
    for variables in ({}, {"KALA_URL": "http://b", "KALA_TOKEN_FILE": "~/token"}):
        with pytest.raises(Invalid) as error:
            found(**variables)
        assert str(error.value) == f"token file ~/token: {reason}"


def test_the_token_of_a_server_in_the_file_is_where_its_login_is(found, configure, home):
    configure('[server.a]\nurl = "http://a"\ntoken_file = "~/a.token"\n')
    with pytest.raises(Unauthorized):
        found()
    assert found(KALA_TOKEN="t").token == "t"
    (home / "a.token").write_text("of-a\n")
    (home / "a.token").chmod(0o600)
    assert (found().token, found().token_file) == ("of-a", str(home / "a.token"))
    assert (found(KALA_TOKEN="t").token, found("http://b").token, found("http://b").token_file) == ("of-a", "", "")
    assert (found(token="t").token, found(token="t").token_file) == ("t", "")


@pytest.mark.parametrize(("server", "login"), [(None, "kala login"), ("a", "kala --server a login")])
def test_without_the_login_of_a_server_the_error_has_its_name_and_what_to_do(found, configure, server, login):
    configure('[server.a]\nurl = "http://a"\ntoken_file = "~/a.token"\n')
    with pytest.raises(Unauthorized) as error:
        found(server=server)
    reason = "its token file ~/a.token does not exist"
    assert str(error.value) == f"not logged in to the server 'a' (http://a): {reason}; log in with {login}"


def test_an_address_has_the_command_that_logs_in_there(found, configure):
    assert (found().login, found(KALA_URL="http://a").login) == ("kala login", "kala login http://a")
    configure('[server.a]\nurl = "http://a"\n')
    assert (found().login, found(server="a").login) == ("kala login", "kala --server a login")
    assert (found("http://a").login, found("http://b").login) == ("kala --server a login", "kala login http://b")


@pytest.mark.parametrize("url", ["http://a", "http://a/"])
def test_a_url_has_the_login_and_the_ca_of_the_server_with_this_url(found, configure, home, url):
    configure('[server.a]\nurl = "http://a"\ntoken_file = "~/a.token"\nca = "/a.pem"\n[server.b]\nurl = "http://b"\n')
    assert (found(url).token, found(url).ca) == ("", "/a.pem")
    write_token(home / "a.token", "of-a")
    for one in (found(url), found(KALA_URL=url)):
        assert (one.token, one.token_file, one.ca) == ("of-a", str(home / "a.token"), "/a.pem")
    for variables in ({"KALA_TOKEN": "t"}, {"KALA_TOKEN_FILE": write_token(home / "t", "t")}):
        one = found(url, **variables)
        assert (one.token, one.token_file, one.ca) == ("t", "", "/a.pem")
    assert (found(url, "given").token, found(url, KALA_CA="/v.pem").ca) == ("given", "/v.pem")
    assert found("http://a/other").token == ""


def test_a_url_that_several_servers_have_has_no_login(found, configure, home):
    file = write_token(home / "a.token", "of-a")
    configure("".join(f'[server.{name}]\nurl = "http://a"\ntoken_file = "{file}"\n' for name in "ab"))
    assert found("http://a").token == ""
    assert found(server="a").token == "of-a"


def test_an_anonymous_client_looks_for_no_token(configure, home):
    write_token(home / "a.token", "")
    (home / "a.token").chmod(0o644)
    configure('[server.a]\nurl = "http://a"\ntoken_file = "~/a.token"\nca = "/a.pem"\n')
    for url in (None, "http://a"):
        one = find(url, is_anonymous=True, environ={"HOME": str(home), "KALA_TOKEN": "t"})
        assert (one.token, one.ca) == ("", "/a.pem")


def test_a_ca_is_given_or_in_the_file_or_in_a_variable(found, configure, home):
    configure('[server.a]\nurl = "https://a"\nca = "/a.pem"\n')
    assert found("https://b", KALA_CA="/v.pem").ca == "/v.pem"
    assert found(KALA_CA="/v.pem").ca == "/a.pem"
    assert find(ca="~/given.pem", environ={"HOME": str(home), "KALA_CA": "/v.pem"}).ca == f"{home}/given.pem"


def test_an_address_tells_whether_somebody_has_named_the_server(found, configure):
    assert not found().is_given
    assert found(KALA_URL="http://a").is_given
    configure('[server.a]\nurl = "http://a"\n')
    assert found().is_given


@pytest.mark.parametrize("token", ["a\r\nHost: b", "two words", "ä"])
def test_a_token_of_other_characters_is_refused(found, token):
    with pytest.raises(Invalid, match="token: must be one line of visible ASCII characters"):
        found(KALA_TOKEN=token)
