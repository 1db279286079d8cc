import signal

import pytest

READY = "answers on http://127.0.0.1:8000"


def test_the_start_is_logged_with_address_and_data_directory(start, home):
    assert start().expect(READY).endswith(f"and stores its data in {home}/.local/share/kala\n")


def test_without_persistence_the_start_says_that_nothing_is_stored(start):
    assert start("--no-persist").expect(READY).endswith("stores nothing on disk\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_drains_and_stops_and_exits_with_0(number, start, app_events):
    service = start()
    service.expect(READY)
    service.send(number)
    service.expect("stopping; no runs in progress")
    assert service.ended() == 0
    assert app_events(service) == ["made", "start", "drain", "stop"]


def test_nothing_is_left_open_at_the_end(start):
    service = start(PYTHONDEVMODE="1")
    service.expect(READY)
    service.send(signal.SIGTERM)
    assert service.ended() == 0
    assert not [line for line in service.said if "ResourceWarning" in line]


def test_runs_may_finish_before_the_end(start, app_events):
    service = start("--rounds", "4", "-v")
    service.expect(READY)
    service.send(signal.SIGTERM)
    service.expect("runs have 30 s to finish")
    assert service.ended() == 0
    assert app_events(service)[2:] == ["drain", *["is"] * 4, "stop"]


def test_the_grace_ends_even_if_runs_do_not(start):
    service = start("--rounds", "1000000", "--shutdown-grace", "0.2")
    service.expect(READY)
    service.send(signal.SIGTERM)
    assert service.ended() == 0
    assert "app stop" in service.said[-1]


def test_a_second_signal_to_stop_skips_the_grace(start):
    service = start("--rounds", "1000000")
    service.expect(READY)
    service.send(signal.SIGTERM)
    service.expect("runs have 30 s")
    service.send(signal.SIGINT)
    service.expect("asked to stop again")
    assert service.ended() == 0


def test_a_signal_during_the_start_stops_once_it_has_started(start, app_events):
    service = start()
    service.expect("app made")
    service.send(signal.SIGTERM)
    assert service.ended() == 0
    assert app_events(service) == ["made", "start", "drain", "stop"]


def test_a_failed_start_ends_with_its_error_and_exit_code(start, app_events):
    service = start("--fault", "conflict")
    assert service.ended() == 5
    assert service.said[-1] == "kala: port 8000 is taken; give another with --port\n"
    assert app_events(service)[-1] == "stop"


class TestReload:
    def test_sighup_applies_the_reloadable_keys(self, start, home):
        service = start()
        service.expect(READY)
        (home / "kala.toml").write_text("default_owner = 'ann@example.org'\nkill_grace = 1")
        service.send(signal.SIGHUP)
        service.expect("app reload: owner ann@example.org, port 8000")
        service.expect("settings reloaded; changed: default_owner, kill_grace")

    def test_keys_that_need_a_restart_are_named_and_stay(self, start, home):
        service = start()
        service.expect(READY)
        (home / "kala.toml").write_text("port = 1\nworkers = 2")
        service.send(signal.SIGHUP)
        service.expect("app reload: owner , port 8000")
        service.expect("changed: nothing")
        service.expect("warning: restart Kala to apply changes to port, workers")

    def test_a_wrong_file_changes_nothing(self, start, home, app_events):
        service = start()
        service.expect(READY)
        (home / "kala.toml").write_text("prot = 1")
        service.send(signal.SIGHUP)
        line = service.expect("error: keeping the current settings")
        assert line.endswith(f"{home}/kala.toml: unknown key 'prot'; did you mean port?\n")
        service.send(signal.SIGTERM)
        assert service.ended() == 0
        assert "reload:" not in app_events(service)

    def test_a_missing_file_changes_nothing(self, start, home):
        service = start()
        service.expect(READY)
        (home / "kala.toml").unlink()
        service.send(signal.SIGHUP)
        service.expect("error: keeping the current settings: KALA_CONFIG:")

    def test_a_reload_can_make_the_log_verbose(self, start, home):
        service = start("--rounds", "1")
        service.expect(READY)
        (home / "kala.toml").write_text("verbose = true")
        service.send(signal.SIGHUP)
        service.expect("changed: verbose")
        service.send(signal.SIGTERM)
        service.expect("debug: app is busy")
