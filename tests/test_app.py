"""The app: it closes what it opened, also if its start fails; a reload replaces all settings at once."""

import gc
import json
import shutil
import socket
import ssl
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import pytest
from msgspec.structs import replace
from samples import LOCALHOST

from kala.app import App
from kala.client import Client
from kala.config import Config
from kala.core.account import Account
from kala.core.caller import Role
from kala.core.errors import Busy, Invalid, KalaError
from kala.heartbeat import Heartbeat
from kala.store.store import Store

OTHER = Path(__file__).parent / "server" / "tls" / "other.pem"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path):
    return Config(data_dir=tmp_path / "data", port=0, workers=2)


@pytest.fixture
def app(config):
    interval = sys.getswitchinterval()
    app = App(config, Heartbeat())
    yield app
    app.stop()
    gc.unfreeze()
    sys.setswitchinterval(interval)


def test_its_address_is_known_before_it_starts(app):
    port = int(app.address.rpartition(":")[2])
    assert app.address == f"http://127.0.0.1:{port}"
    assert port > 0


def test_an_app_that_cannot_be_built_closes_its_socket(config):
    config.data_dir.write_text("a file")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(KalaError, match="data_dir"):
            App(config, Heartbeat(), [listener])
        assert listener.fileno() == -1


def test_an_app_that_does_not_start_can_be_stopped_and_releases_its_data(app, config, monkeypatch):
    def no_thread():
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(app._server, "start", no_thread)
    with pytest.raises(Busy, match="limit of threads"):
        app.start()
    app.stop()
    App(config, Heartbeat()).stop()


OPEN_TO_ALL = r"^interface: 0\.0\.0\.0 can be reached from other machines, and there is no user or token yet; "


class TestAnAddressThatOthersCanReach:
    def test_is_refused_while_nobody_can_log_in(self, config):
        with pytest.raises(Invalid, match=OPEN_TO_ALL):
            App(replace(config, interface="0.0.0.0"), Heartbeat())

    def test_is_refused_for_a_socket_of_systemd_too(self, config):
        with socket.create_server(("127.0.0.1", 0)) as good, socket.create_server(("0.0.0.0", 0)) as bad:
            with pytest.raises(Invalid, match=OPEN_TO_ALL):
                App(config, Heartbeat(), [good, bad])
            assert (good.fileno(), bad.fileno()) == (-1, -1)

    def test_is_used_where_auth_is_off(self, config):
        App(replace(config, interface="0.0.0.0", auth="off"), Heartbeat()).stop()

    @pytest.mark.parametrize(
        ("changes", "is_warned"),
        [
            ({}, True),
            ({"tls_certificate": LOCALHOST, "tls_key": LOCALHOST}, False),
            ({"trusted_proxies": ("192.0.2.1",)}, False),
            ({"auth": "off"}, False),
            ({"interface": "127.0.0.1"}, False),
        ],
    )
    def test_gets_a_warning_where_passwords_can_be_read(self, config, changes, is_warned, caplog):
        App(replace(config, **{"interface": "0.0.0.0"} | changes), Heartbeat(), admin_token="secret").stop()
        assert ("others on the network can read passwords" in caplog.text) == is_warned

    def test_is_used_once_there_is_a_user(self, config):
        store = Store(config.data_dir)
        with store.transaction():
            store.writer.accounts.save(Account(name="ann", role=Role.ADMIN, created_at=NOW))
        store.close()
        App(replace(config, interface="0.0.0.0"), Heartbeat()).stop()


def test_it_can_be_stopped_twice(app):
    app.start()
    app.stop()
    app.stop()


def test_a_reload_that_fails_keeps_the_settings(app, config, monkeypatch):
    def busy(*_):
        raise Busy("the database cannot be written")

    generation = app._gate.generation
    monkeypatch.setattr(app._engine, "call", busy)
    with pytest.raises(Busy):
        app.reload(replace(config, kill_grace=1.0, auth="off"))
    assert app.config == config
    assert app._gate.generation == generation  # nobody could call in between who may not
    monkeypatch.undo()


def test_a_reload_reaches_every_part(app, config):
    app.start()
    app.reload(replace(config, kill_grace=1.5, default_owner="ann@example.org", keep_runs=7))
    assert app._executor._defaults().kill_grace == 1.5
    assert app._jobs._settings().default_owner == "ann@example.org"
    assert app._retention().max_runs == 7


class TestHttps:
    @pytest.fixture
    def files(self, tmp_path):
        made = tmp_path / "cert.pem", tmp_path / "key.pem"
        for file in made:
            shutil.copy(LOCALHOST, file)
        return made

    @pytest.fixture
    def config(self, config, files):
        return replace(config, tls_certificate=files[0], tls_key=files[1])

    def test_its_address_is_one_of_https_and_answers(self, app):
        app.start()
        assert app.address.startswith("https://127.0.0.1:")
        with urlopen(f"{app.address}/health/live", context=ssl.create_default_context(cafile=LOCALHOST)) as response:
            assert response.status == 200

    def test_a_socket_from_systemd_speaks_https_too(self, config):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            made = App(config, Heartbeat(), [listener])
            made._server.start()
            try:
                context = ssl.create_default_context(cafile=LOCALHOST)
                with urlopen(f"{made.address}/", context=context) as response:
                    assert response.status == 200
            finally:
                made._server.stop(5)
                made.stop()

    def test_it_tells_when_the_certificate_expires(self, app):
        app.start()
        url, context = f"{app.address}/api/v1/system/", ssl.create_default_context(cafile=LOCALHOST)
        with urlopen(url, context=context) as response:
            assert json.load(response)["certificate_expires_at"] == "2120-01-01T00:00:00Z"

    def test_a_reload_loads_the_certificate_again(self, app, config, files):
        for file in files:
            shutil.copy(OTHER, file)
        app.start()
        app.reload(config)
        with urlopen(f"{app.address}/health/live", context=ssl.create_default_context(cafile=OTHER)) as response:
            assert response.status == 200

    def test_a_reload_with_a_wrong_certificate_keeps_it_and_the_settings(self, app, config, files):
        files[1].unlink()
        with pytest.raises(Invalid, match=f"^tls_key: cannot read {files[1]}: No such file or directory"):
            app.reload(replace(config, kill_grace=1.0))
        assert app.config == config

    def test_it_does_not_start_with_a_wrong_certificate(self, config, files):
        shutil.copy(OTHER, files[1])
        with pytest.raises(Invalid, match=r"^tls_key: .* does not have the key of the certificate in "):
            App(config, Heartbeat())


class TestSocketFile:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "kala.sock"

    @pytest.fixture
    def app(self, config, path, monkeypatch):
        monkeypatch.setattr("kala.app._SOCKET_GROUP", "no such group")
        interval = sys.getswitchinterval()
        app = App(config, Heartbeat(), socket_path=path)
        app.start()
        yield app
        app.stop()
        gc.unfreeze()
        sys.setswitchinterval(interval)

    def test_the_same_user_can_connect_and_nobody_else(self, app, path):
        assert stat.filemode(path.stat().st_mode) == "srw-------"
        with Client(f"unix://{path}") as over_socket, Client(app.address) as over_port:
            assert over_socket.summary()["jobs"] == over_port.summary()["jobs"] == 0

    def test_it_is_removed_when_kala_stops(self, app, path):
        app.stop()
        assert not path.exists()

    def test_a_file_of_another_one_stays(self, app, path):
        path.unlink()
        path.touch()
        app.stop()
        assert path.exists()


def test_a_socket_that_a_killed_kala_has_left_is_replaced(config, tmp_path):
    path = tmp_path / "kala.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    App(config, Heartbeat(), socket_path=path).stop()
    assert not path.exists()


@pytest.mark.parametrize("name", ["a" * 120, "taken"])
def test_kala_starts_without_a_socket_file_that_is_not_possible_and_says_so(config, tmp_path, caplog, name):
    path = tmp_path / name
    (tmp_path / "taken").write_text("a file")
    App(config, Heartbeat(), socket_path=path).stop()
    assert f"cannot listen on {path}: " in caplog.text
    assert (tmp_path / "taken").read_text() == "a file"
