from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kala.config import KEYS, RELOADABLE, Config, Loaded, check_reach, is_loopback, load, locate
from kala.config.shown import described
from kala.core.caller import Role
from kala.core.errors import Invalid

HOME = {"HOME": "/home/ann"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "kala.toml"
    path.write_text(text)
    return path


def from_flags(**flags: object) -> Config:
    return load(flags, HOME, []).config


def from_environment(**variables: str) -> Config:
    return load({}, HOME | variables, []).config


def refusal(flags: dict[str, object] | None = None, environ: dict[str, str] | None = None, files=()) -> str:
    with pytest.raises(Invalid) as caught:
        load(flags or {}, HOME | (environ or {}), files)
    return str(caught.value)


class TestWhereAValueComesFrom:
    def test_without_any_source_all_values_are_defaults(self):
        loaded = load({}, HOME, [Path("/nowhere/kala.toml")])
        assert loaded == Loaded(
            Config(data_dir=Path("/home/ann/.local/share/kala")), dict.fromkeys(Config.__struct_fields__, "default")
        )

    def test_a_file_wins_over_the_default(self, tmp_path):
        file = written(tmp_path, "port = 9000")
        loaded = load({}, HOME, [file])
        assert (loaded.config.port, loaded.origins["port"]) == (9000, str(file))

    def test_a_later_file_wins_over_an_earlier_one_key_by_key(self, tmp_path):
        first, second = tmp_path / "first.toml", tmp_path / "second.toml"
        first.write_text("port = 1\nworkers = 1")
        second.write_text("port = 2")
        config = load({}, HOME, [first, second]).config
        assert (config.port, config.workers) == (2, 1)

    def test_the_environment_wins_over_a_file(self, tmp_path):
        loaded = load({}, HOME | {"KALA_PORT": "9001"}, [written(tmp_path, "port = 9000")])
        assert (loaded.config.port, loaded.origins["port"]) == (9001, "KALA_PORT")

    def test_a_flag_wins_over_the_environment(self):
        loaded = load({"port": "9002"}, HOME | {"KALA_PORT": "9001"}, [])
        assert (loaded.config.port, loaded.origins["port"]) == (9002, "--port")

    def test_a_switch_turned_off_is_named_as_it_was_given(self):
        assert load({"persist": False}, HOME, []).origins["persist"] == "--no-persist"

    def test_a_flag_that_is_not_given_is_ignored(self):
        assert from_flags(port=None, allowed_hosts=()) == from_flags()

    def test_an_empty_variable_is_ignored(self):
        assert from_environment(KALA_PORT="") == from_flags()

    def test_an_unknown_variable_is_ignored(self):
        assert from_environment(KALA_COLOUR="blue") == from_flags()


class TestFiles:
    def test_the_default_files_are_those_of_the_system_and_then_of_the_user(self):
        assert locate(None, HOME, Path("/")) == (
            Path("/etc/kala/kala.toml"),
            Path("/home/ann/.config/kala/kala.toml"),
        )

    def test_the_file_of_the_user_follows_xdg_config_home(self):
        assert locate(None, {"XDG_CONFIG_HOME": "/c"}, Path("/"))[1] == Path("/c/kala/kala.toml")

    def test_a_service_reads_the_file_of_the_system_alone(self):
        # Its jobs can write the file of the user.
        for home in (HOME, {"XDG_CONFIG_HOME": "/c"}):
            service = {**home, "STATE_DIRECTORY": "/var/lib/kala"}
            assert locate(None, service, Path("/")) == (Path("/etc/kala/kala.toml"),)

    @pytest.mark.parametrize(
        ("flag", "environ"), [("/etc/kala/kala.toml", {}), (None, {"KALA_CONFIG": "/etc/kala/kala.toml"})]
    )
    def test_the_file_of_the_system_may_be_missing_even_if_it_is_named(self, flag, environ, monkeypatch):
        monkeypatch.setattr(Path, "exists", lambda _: False)
        assert locate(flag, environ, Path("/")) == (Path("/etc/kala/kala.toml"),)

    def test_a_named_file_replaces_them(self, tmp_path):
        file = written(tmp_path, "")
        assert locate("kala.toml", HOME, tmp_path) == (file,)
        assert locate(None, {"KALA_CONFIG": str(file)}, Path("/")) == (file,)

    @pytest.mark.parametrize(("flag", "environ"), [("gone", {}), (None, {"KALA_CONFIG": "gone"})])
    def test_a_named_file_must_exist(self, flag, environ, tmp_path):
        with pytest.raises(Invalid, match=r"^(--config|KALA_CONFIG): 'gone' does not exist"):
            locate(flag, environ, tmp_path)

    def test_an_unknown_key_is_refused_with_a_similar_one(self, tmp_path):
        file = written(tmp_path, "data-dirs = 'x'")
        assert refusal(files=[file]) == f"{file}: unknown key 'data-dirs'; did you mean data_dir?"

    def test_an_unknown_key_without_a_similar_one_is_refused_with_all_keys(self, tmp_path):
        assert refusal(files=[written(tmp_path, "[zzz]")]).endswith(f"the keys are {', '.join(KEYS)}")

    @pytest.mark.parametrize("text", [b"port", b"\xff"])
    def test_a_file_that_is_not_toml_is_refused(self, text, tmp_path):
        file = tmp_path / "kala.toml"
        file.write_bytes(text)
        assert refusal(files=[file]).startswith(f"{file}: invalid TOML: ")

    def test_a_file_that_cannot_be_read_is_refused(self, tmp_path):
        assert refusal(files=[tmp_path]).startswith(f"{tmp_path}: cannot be read: ")

    def test_a_wrong_value_is_refused_with_file_key_value_and_what_is_expected(self, tmp_path):
        file = written(tmp_path, "port = 70000")
        assert (
            refusal(files=[file])
            == f"{file}: port: must be a whole number between 0 and 65535, or address:port, not 70000"
        )


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "interface", "port"),
        [
            ("2222", "127.0.0.9", 2222),
            (":2222", "127.0.0.9", 2222),
            ("127.0.0.1:2222", "127.0.0.1", 2222),
            ("[::1]:2222", "::1", 2222),
            ("localhost:0", "localhost", 0),
        ],
    )
    def test_a_port_may_include_its_interface(self, text, interface, port, tmp_path):
        file = written(tmp_path, f'interface = "127.0.0.9"\nport = "{text}"')
        environ = {"KALA_INTERFACE": "127.0.0.9"}
        for loaded in (
            load({}, HOME, [file]),
            load({}, HOME | environ | {"KALA_PORT": text}, []),
            load({"port": text}, HOME | environ, []),
        ):
            assert (loaded.config.interface, loaded.config.port) == (interface, port)

    def test_an_interface_of_a_stronger_source_stays(self):
        assert load({"interface": "::1"}, HOME | {"KALA_PORT": "127.0.0.1:1"}, []).config.interface == "::1"

    @pytest.mark.parametrize("text", ["70000", ":70000", "-1", "1.5", "x", "::1:80", "٨٠"])
    def test_an_invalid_port_is_refused(self, text):
        assert refusal({"port": text}).startswith(
            "--port: must be a whole number between 0 and 65535, or address:port, not "
        )

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("keep_runs", str(2**63)),
            ("kill_grace", "1000000000000"),
            ("default_owner", "a\nb"),
            ("default_owner", "\udcff"),
            ("keep_for", "PT0S"),
        ],
    )
    def test_values_that_would_fail_later_are_refused(self, name, text):
        assert refusal({name: text}).startswith(f"--{name.replace('_', '-')}: ")

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1"])
    def test_a_loopback_address_needs_no_login(self, address):
        check_reach(address, from_flags(), has_callers=False)
        assert is_loopback(address)

    @pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.0.1", "2001:db8::1", "fe80::1%eth0"])
    def test_an_address_that_others_can_reach_is_refused_with_the_remedies_while_nobody_can_log_in(self, address):
        with pytest.raises(Invalid) as error:
            check_reach(address, from_flags(), has_callers=False)
        assert str(error.value) == (
            f"interface: {address} can be reached from other machines, and there is no user or token yet; create one"
            " with kala user add NAME --role admin, name a file with a token in KALA_ADMIN_TOKEN_FILE, listen on"
            " 127.0.0.1, or use --insecure-no-auth if a proxy or firewall controls access"
        )
        assert not is_loopback(address)

    def test_where_somebody_can_log_in_any_address_is_allowed(self):
        check_reach("0.0.0.0", from_flags(), has_callers=True)

    @pytest.mark.parametrize("flags", [{"insecure_no_auth": True}, {"auth": "off"}])
    def test_where_anyone_may_do_anything_any_address_is_allowed(self, flags):
        check_reach("0.0.0.0", from_flags(**flags), has_callers=False)


class TestAuth:
    @pytest.mark.parametrize(
        ("flags", "auth", "is_open"),
        [
            ({}, "on", False),
            ({"auth": "on"}, "on", False),
            ({"auth": "off"}, "off", True),
            ({"insecure_no_auth": True}, "off", True),
            ({"insecure_no_auth": False}, "on", False),
            ({"insecure_no_auth": True, "auth": "off"}, "off", True),
        ],
    )
    def test_its_two_names_say_the_same(self, flags, auth, is_open):
        config = from_flags(**flags)
        assert (config.auth, config.insecure_no_auth, config.is_open) == (auth, is_open, is_open)

    def test_the_name_that_is_not_given_has_the_origin_of_the_other(self):
        assert load({"insecure_no_auth": True}, HOME, []).origins["auth"] == "--insecure-no-auth"
        assert load({}, HOME | {"KALA_AUTH": "off"}, []).origins["insecure_no_auth"] == "KALA_AUTH"
        assert {load({}, HOME, []).origins[name] for name in ("auth", "insecure_no_auth")} == {"default"}

    def test_names_that_contradict_each_other_are_refused_with_their_origins(self):
        assert refusal({"auth": "on"}, {"KALA_INSECURE_NO_AUTH": "true"}) == (
            'auth: "on" (--auth) contradicts insecure_no_auth = true (KALA_INSECURE_NO_AUTH); they are two names of one'
            " setting, so leave one out"
        )
        assert refusal({"insecure_no_auth": False, "auth": "off"}).startswith('auth: "off" (--auth) contradicts')

    @pytest.mark.parametrize("value", ["maybe", "", "ON", True])
    def test_it_is_on_or_off(self, value):
        assert refusal({"auth": value}) == f"--auth: must be on or off, not {value!r}"

    def test_a_config_that_was_not_loaded_is_open_by_either_name(self):
        config = Config(data_dir=Path("/d"))
        assert [replace(config, auth="off").is_open, replace(config, insecure_no_auth=True).is_open] == [True, True]
        assert not config.is_open


class TestPeers:
    def test_they_are_a_table_in_a_file_and_have_commas_in_a_variable(self, tmp_path):
        file = written(tmp_path, "peers = {operator = ['@ops', 'ann'], viewer = 'bob'}")
        expected = {Role.OPERATOR: ("@ops", "ann"), Role.VIEWER: ("bob",)}
        assert load({}, HOME, [file]).config.peers == expected
        assert from_environment(KALA_PEERS="operator=@ops, operator=ann,viewer=bob").peers == expected
        assert from_flags(peers=("operator=@ops,operator=ann", "viewer=bob")).peers == expected
        assert from_flags().peers == {}

    @pytest.mark.parametrize("name", r"ann @ops DOMAIN\ann ann@example.org backup$ _apt jo.doe 1001".split())
    def test_names_of_local_users_and_of_those_of_a_directory_are_accepted(self, name):
        assert from_flags(peers=f"viewer={name}").peers == {Role.VIEWER: (name,)}

    @pytest.mark.parametrize(
        "value",
        [
            *("ann", "ann=viewer", "anyone=ann", "viewer=", "viewer=@", "viewer=@@ops", "viewer=a b", "viewer=-a"),
            *(5, True, ["a"], {"viewer": []}, {"viewer": [""]}, {"viewer": 5}, {"viewer": ["ann", 5]}),
            *({"viewer": "a\0b"}, {"viewer": "\0"}, {"viewer": "@\0"}),
        ],
    )
    def test_invalid_ones_are_refused(self, value):
        assert refusal({"peers": value}).startswith("--peer: must be a list such as operator=@ops,viewer=ann, in")


PROXY = {"trusted_proxies": "127.0.0.1", "proxy_user_header": "Remote-User", "group_roles": "*=viewer"}


class TestProxies:
    def test_networks_are_a_list_in_a_file_and_have_commas_in_a_variable(self, tmp_path):
        file = written(tmp_path, "trusted_proxies = ['10.0.0.0/8', '2001:DB8::1']")
        assert load({}, HOME, [file]).config.trusted_proxies == ("10.0.0.0/8", "2001:db8::1")
        assert from_environment(KALA_TRUSTED_PROXIES="10.0.0.0/8, ::1").trusted_proxies == ("10.0.0.0/8", "::1")
        assert from_flags(trusted_proxies=("192.0.2.1/32", "fd00::/8")).trusted_proxies == ("192.0.2.1", "fd00::/8")
        given = ("www-data@127.0.0.1", "33@0:0::1", "caddy@127.0.0.0/8")
        assert from_flags(trusted_proxies=given).trusted_proxies == (given[0], "33@::1", given[2])

    @pytest.mark.parametrize(
        "value",
        [
            *("0.0.0.0/0", "::/0", "::1,0.0.0.0/0", "10.0.0.1/8", "proxy.example", "10.0.0.0/33", "", 10, True),
            *("www-data@10.0.0.1", "@::1", "a b@::1", "a@b@::1", "www-data@127.0.0.0/4", "www-data", "ann@"),
            *("a\0b@127.0.0.1", "\0@127.0.0.1"),
        ],
    )
    def test_everybody_and_what_is_no_network_is_refused(self, value):
        assert refusal({"trusted_proxies": value}) == (
            "--trusted-proxy: must be a list of addresses and networks such as 192.0.2.1,10.0.0.0/8,www-data@127.0.0.1;"
            " a network must begin with its first address and not have all addresses, and only a loopback address can"
            f" have a user, not {value!r}"
        )

    @pytest.mark.parametrize(
        "name", ["Remote-User", "X-Remote-User", "X-Forwarded-User", "X-Auth-Request-Email", "Tailscale-User-Login"]
    )
    def test_the_headers_that_proxies_use_for_users_are_accepted(self, name):
        assert from_flags(**PROXY | {"proxy_user_header": name}).proxy_user_header == name

    @pytest.mark.parametrize(
        "name",
        "Host Cookie Authorization authorization Proxy-Authorization Connection X-Forwarded-For x-forwarded-host Via"
        " X-Forwarded-Proto Forwarded X-Real-IP Origin Sec-Fetch-Site Content-Length Kala-Job X_User Remote_User"
        " User-Agent If-Match Idempotency-Key Transfer-Encoding Accept Referer a:b".split(),
    )
    def test_headers_with_another_meaning_are_refused(self, name):
        for key in ("proxy_user_header", "proxy_groups_header"):
            assert refusal(PROXY | {key: name}) == (
                f"--{key.replace('_', '-')}: must be the name of a header for this purpose only, such as Remote-User,"
                f" or empty, not {name!r}"
            )

    def test_groups_and_their_roles_are_a_table_in_a_file_and_have_commas_in_a_variable(self, tmp_path):
        file = written(tmp_path, "group_roles = {'Domain Admins' = 'admin', '*' = 'viewer'}")
        expected = {"Domain Admins": Role.ADMIN, "*": Role.VIEWER}
        good = PROXY | {"group_roles": None}
        assert load(good, HOME, [file]).config.group_roles == expected
        environ = HOME | {"KALA_GROUP_ROLES": "Domain Admins=admin,*=viewer"}
        assert load(good, environ, []).config.group_roles == expected
        assert from_flags(**good | {"group_roles": ("Domain Admins=admin", "*=viewer")}).group_roles == expected

    @pytest.mark.parametrize(
        "value",
        ["ops", "ops=", "=viewer", "ops=root", "ops=anyone", "a=viewer,a=admin", {"a,b": "viewer"}, {"a": 1}, 5],
    )
    def test_invalid_roles_of_groups_are_refused(self, value):
        assert refusal(PROXY | {"group_roles": value}).startswith("--group-role: must be a list such as ops=operator,")

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            ({"trusted_proxies": None}, "proxy_user_header: needs trusted_proxies, since others can send the header"),
            ({"group_roles": None}, "proxy_user_header: needs group_roles, without which nobody has a role"),
            ({"proxy_user_header": None}, "group_roles: has no effect without proxy_user_header"),
            (
                {"proxy_user_header": "", "proxy_groups_header": "Remote-Groups"},
                "proxy_groups_header: has no effect without proxy_user_header",
            ),
            ({"proxy_groups_header": "remote-user"}, "proxy_groups_header: must be another header"),
        ],
    )
    def test_settings_that_would_let_in_anyone_or_nobody_are_refused(self, flags, sentence):
        assert refusal(PROXY | flags).startswith(sentence)

    def test_a_proxy_that_only_passes_addresses_on_is_trusted(self):
        assert from_flags(trusted_proxies="10.0.0.0/8").proxy_user_header == ""


class TestSessionsAndTls:
    @pytest.mark.parametrize("value", ["PT15M", "P7D", "P400D", "P1Y"])
    def test_a_session_has_a_length(self, value):
        assert from_flags(session_idle=value, session_lifetime=value).session_lifetime == value

    @pytest.mark.parametrize("value", ["", "P0D", "P401D", "P2Y", "soon", "-P1D", 7, True])
    def test_a_session_without_an_end_is_refused(self, value):
        assert refusal({"session_idle": value}) == (
            f"--session-idle: must be an ISO 8601 duration longer than zero, such as P7D, at most P400D, not {value!r}"
        )

    def test_the_audit_log_is_kept_for_a_time_or_forever(self):
        assert (from_flags().keep_audit, from_flags(keep_audit="").keep_audit) == ("P1Y", "")

    def test_a_certificate_and_its_key_are_files(self, tmp_path):
        file = written(tmp_path, "tls_certificate = 'tls/cert.pem'\ntls_key = '/k.pem'")
        config = load({}, HOME, [file]).config
        assert (config.tls_certificate, config.tls_key) == (tmp_path / "tls/cert.pem", Path("/k.pem"))
        assert (from_flags().tls_certificate, from_flags().tls_key) == (None, None)

    @pytest.mark.parametrize(("one", "other"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")])
    def test_one_without_the_other_is_refused(self, one, other):
        assert refusal({one: "/a.pem"}) == f"{one}: needs {other}, too; set both, or none to serve plain HTTP"


class TestPaths:
    def test_data_is_kept_in_the_state_directory_of_a_service(self):
        assert from_environment(STATE_DIRECTORY="/var/lib/kala:/var/lib/other").data_dir == Path("/var/lib/kala")

    def test_data_is_kept_below_xdg_data_home(self):
        assert from_environment(XDG_DATA_HOME="/data").data_dir == Path("/data/kala")

    def test_a_relative_path_in_a_file_is_below_the_file(self, tmp_path):
        assert load({}, HOME, [written(tmp_path, "log_file = 'log'")]).config.log_file == tmp_path / "log"

    def test_a_relative_path_in_a_flag_is_below_the_working_directory_at_the_start(self):
        assert load({"data_dir": "./d"}, HOME, [], Path("/start")).config.data_dir == Path("/start/d")

    def test_a_tilde_is_the_home_directory(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", "/home/bob")
        assert load({}, {}, [written(tmp_path, "data_dir = '~/d'")]).config.data_dir == Path("/home/bob/d")

    def test_an_empty_path_is_none_if_the_key_is_optional(self):
        assert from_flags(log_file="").log_file is None
        assert refusal({"data_dir": ""}) == "--data-dir: must be a path, not ''"

    def test_without_a_home_the_data_directory_must_be_given(self, monkeypatch):
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
        with pytest.raises(Invalid, match=r"^data_dir: not set, and there is no home directory; use --data-dir$"):
            load({}, {}, locate(None, {}, Path("/")))


class TestValues:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("30", 30), ("2.5", 2.5), (7, 7), (0.5, 0.5), ("PT1M", 60), ("P1D", 86400), ("PT0.5S", 0.5)],
    )
    def test_a_grace_is_a_number_of_seconds_or_a_duration(self, value, seconds):
        assert from_flags(shutdown_grace=value).shutdown_grace == seconds

    @pytest.mark.parametrize("value", ["P1M", "-1", -1, float("inf"), float("nan"), "soon", True, [], "1e3", ""])
    def test_a_grace_without_a_fixed_length_is_refused(self, value):
        assert refusal({"kill_grace": value}) == (
            "--kill-grace: must be a number of seconds or an ISO 8601 duration such as PT30S, at most a year, "
            f"not {value!r}"
        )

    @pytest.mark.parametrize(
        ("text", "switch"), [("true", True), ("YES", True), ("1", True), ("off", False), ("0", False)]
    )
    def test_a_switch_is_read_from_the_usual_words(self, text, switch):
        assert from_environment(KALA_PERSIST=text).persist is switch

    @pytest.mark.parametrize("value", ["maybe", 1, "", []])
    def test_any_other_word_for_a_switch_is_refused(self, value, tmp_path):
        assert refusal({"verbose": value}) == f"--verbose: must be true or false, not {value!r}"

    def test_allowed_hosts_are_a_list_in_a_file_and_have_commas_in_a_variable(self, tmp_path):
        file = written(tmp_path, "allowed_hosts = ['Kala.example', 'k']")
        assert load({}, HOME, [file]).config.allowed_hosts == ("kala.example", "k")
        assert from_environment(KALA_ALLOWED_HOSTS="Kala.example, k").allowed_hosts == ("kala.example", "k")
        assert from_flags(allowed_hosts=("kala.example", "k")).allowed_hosts == ("kala.example", "k")

    @pytest.mark.parametrize("value", ["a,,b", "http://a", "a b", 1, [1]])
    def test_an_invalid_host_name_is_refused(self, value):
        assert refusal({"allowed_hosts": value}).startswith("--allowed-host: ")

    def test_pools_are_a_table_in_a_file_and_have_commas_in_a_variable(self, tmp_path):
        file = written(tmp_path, "[pools]\ngpu = 2\n'big tape' = 0")
        assert load({}, HOME, [file]).config.pools == {"gpu": 2, "big tape": 0}
        assert from_environment(KALA_POOLS="gpu=2, big tape=0").pools == {"gpu": 2, "big tape": 0}
        assert from_flags(pools=("gpu=2", "big tape=0")).pools == {"gpu": 2, "big tape": 0}
        assert from_flags().pools == {}

    @pytest.mark.parametrize(
        "value",
        [
            "gpu",
            "gpu=",
            "gpu=x",
            "gpu=-1",
            "gpu=10001",
            "gpu=1.5",
            "a=1=2",
            "=3",
            "a=1,a=2",
            5,
            True,
            {"gpu": "x"},
            {"gpu": True},
        ],
    )
    def test_invalid_pools_are_refused(self, value):
        assert refusal({"pools": value}) == (
            "--pool: must be a list such as db=2,mail=1, with each pool once and sizes between 0 and 10000, "
            f"not {value!r}"
        )

    def test_invalid_pools_are_shown_as_they_were_given(self):
        assert refusal({"pools": ("a=1", "b=x")}).endswith(", not 'a=1,b=x'")

    @pytest.mark.parametrize("value", ["", "P90D", "P1M", "PT1H"])
    def test_a_time_to_keep_runs_is_a_duration_or_none(self, value):
        assert from_flags(keep_for=value).keep_for == value

    @pytest.mark.parametrize("value", ["90", 90, "P", "soon", "-P1D", True, []])
    def test_any_other_time_to_keep_runs_is_refused(self, value):
        assert refusal({"keep_for": value}) == (
            f"--keep-for: must be an ISO 8601 duration longer than zero, such as P90D, or empty, not {value!r}"
        )

    def test_a_wrong_choice_is_refused_with_all_choices(self):
        assert refusal(environ={"KALA_LOG_FORMAT": "xml"}) == (
            "KALA_LOG_FORMAT: must be auto, text, journal or json, not 'xml'"
        )

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("workers", 0),
            ("workers", 10001),
            ("output_limit", 1023),
            ("workers", True),
            ("workers", 1.0),
            ("keep_runs", -1),
            ("keep_bytes", -1),
        ],
    )
    def test_a_number_out_of_its_range_is_refused(self, key, value):
        sentence = refusal({key: value})
        assert ": must be a whole number " in sentence
        assert sentence.endswith(f", not {value!r}")

    def test_every_reloadable_key_is_a_key(self):
        assert set(KEYS) >= RELOADABLE

    def test_every_key_has_a_meaning_in_one_sentence(self):
        assert [name for name, key in KEYS.items() if not key.meaning.endswith(".")] == []


scalars = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.lists(st.text(max_size=5), max_size=3))


@settings(max_examples=50)
@given(key=st.sampled_from(sorted(KEYS)), value=scalars)
def test_any_value_is_either_accepted_or_refused_with_a_sentence(key, value):
    with suppress(Invalid):
        load({"insecure_no_auth": True, key: value}, HOME, [])


class TestDescribed:
    def described(self, tmp_path, flags, environ=(), keys=KEYS):
        file = tmp_path / "kala.toml"
        file.write_text('keep_for = "P90D"\n')
        loaded = load(flags, {"KALA_WORKERS": "3", **dict(environ)}, (file,), tmp_path)
        return {setting.key: setting for setting in described(loaded, keys)}

    def test_each_setting_has_its_default_and_its_source(self, tmp_path):
        settings = self.described(tmp_path, {"port": "9000", "data_dir": "data"})
        assert {
            key: (settings[key].value, settings[key].default, settings[key].origin, settings[key].source)
            for key in ("port", "workers", "keep_for", "interface", "data_dir", "pools")
        } == {
            "port": (9000, 8000, "--port", "flag"),
            "workers": (3, 128, "KALA_WORKERS", "variable"),
            "keep_for": ("P90D", "", str(tmp_path / "kala.toml"), "file"),
            "interface": ("127.0.0.1", "127.0.0.1", "default", "default"),
            "data_dir": (str(tmp_path / "data"), None, "--data-dir", "flag"),
            "pools": ({}, {}, "default", "default"),
        }

    def test_a_path_that_is_not_set_is_empty_as_in_a_file(self, tmp_path):
        settings = self.described(tmp_path, {"data_dir": "data"})
        assert (settings["log_file"].value, settings["log_file"].default) == ("", "")

    def test_a_secret_is_not_shown(self, tmp_path):
        keys = {**KEYS, "default_owner": replace(KEYS["default_owner"], is_secret=True)}
        settings = self.described(tmp_path, {"default_owner": "s3cret", "data_dir": "data"}, keys=keys)
        assert (settings["default_owner"].value, settings["default_owner"].default) == ("***", "")
