"""`kala login` adds servers to cli.toml, and keeps what people have written there."""

import pytest

from kala.client import Invalid
from kala.client.address import find
from kala.client.servers import add, named, prepare, write_private

WRITTEN = '# ours\ndefault = "a"\n\n[server.a]  # the first\nurl = "http://a"'


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path)}


@pytest.fixture
def file(tmp_path):
    (tmp_path / ".config/kala").mkdir(parents=True)
    return tmp_path / ".config/kala/cli.toml"


def test_the_first_server_becomes_the_default(environ, tmp_path):
    token_file = prepare("b.example", "https://b.example", environ)
    assert add("b.example", "https://b.example", "/ca.pem", token_file, environ)
    text = (tmp_path / ".config/kala/cli.toml").read_text()
    assert text == (
        'default = "b.example"\n\n[server."b.example"]\nurl = "https://b.example"\n'
        'token_file = "~/.config/kala/b.example.token"\nca = "/ca.pem"\n'
    )
    assert named(None, environ)[1]["url"] == "https://b.example"


def test_what_people_have_written_stays_as_it_is(environ, file):
    file.write_text(WRITTEN)
    assert not add("b", "http://b", "", prepare("b", "http://b", environ), environ)
    assert file.read_text().startswith(f"{WRITTEN}\n\n[server.")
    assert (named(None, environ)[1]["url"], named("b", environ)[1]["url"]) == ("http://a", "http://b")


def test_a_server_that_is_there_is_not_added_again(environ, file):
    file.write_text('[server.a]\nurl = "http://a"\ntoken_file = "/secret/a"\n')
    before = file.read_text()
    token_file = prepare("a", "http://a", environ)
    assert str(token_file) == "/secret/a"
    assert add("a", "http://a", "", token_file, environ)
    assert file.read_text() == before


@pytest.mark.parametrize(("known", "given"), [("http://a", "http://a/"), ("http://a/", "http://a"), ("", "http://a//")])
def test_a_url_may_end_with_a_slash_as_copied_from_a_browser(environ, file, known, given):
    if known:
        file.write_text(f'[server.a]\nurl = "{known}"\ntoken_file = "~/.config/kala/a.token"\n')
    token_file = prepare("a", given, environ)
    assert token_file == file.with_name("a.token")
    assert add("a", given, "", token_file, environ)
    assert named("a", environ)[1]["url"] == (known or "http://a")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[server.b]\nurl = "http://other"\n', "server 'b' is http://other; give --name"),
        ('[server.b]\nurl = "http://b"\n', "server 'b' has no token_file; add token_file = "),
        ("[server.b]\n", "has no server 'b'"),
        ("[server\n", "invalid TOML"),
    ],
)
def test_a_login_that_could_not_be_stored_is_refused_before_the_password_is_asked_for(environ, file, text, sentence):
    file.write_text(text)
    with pytest.raises(Invalid, match=sentence):
        prepare("b", "http://b", environ)


def test_a_file_to_which_nothing_can_be_appended_says_what_to_add(environ, file):
    file.write_text('server = { a = { url = "http://a" } }\n')
    with pytest.raises(Invalid, match=r'add this yourself: \[server."b"\] url = "http://b" token_file = '):
        add("b", "http://b", "", prepare("b", "http://b", environ), environ)
    assert file.read_text() == 'server = { a = { url = "http://a" } }\n'


@pytest.mark.parametrize("name", ["", ".b", "a/b", "a b", "ä", "x" * 65])
def test_a_name_is_that_of_a_file(environ, name):
    with pytest.raises(Invalid, match="name: must have at most 64"):
        prepare(name, "http://b", environ)


def test_without_a_home_there_is_no_place_for_a_login():
    with pytest.raises(Invalid, match="HOME: must be"):
        prepare("b", "http://b", {})


def test_a_token_is_private_from_its_first_byte_and_replaces_the_one_before(environ, file):
    token_file = prepare("b", "http://b", environ)
    add("b", "http://b", "", token_file, environ)
    for secret in ("first", "second"):
        write_private(token_file, f"{secret}\n")
        assert token_file.stat().st_mode & 0o777 == 0o600
        assert find(environ=environ).token == secret
    assert sorted(path.name for path in file.parent.iterdir()) == ["b.token", "cli.toml"]
