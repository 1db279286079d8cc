import signal

import pytest

READY = "answers on http://127.0.0.1:8000"


def test_the_start_is_told_with_address_and_data_directory(start, home):
    assert start().expect(READY).endswith(f"and stores its data in {home}/.local/share/kala\n")


def test_without_a_store_the_start_tells_that_nothing_is_kept(start):
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


def test_the_grace_ends_also_when_runs_do_not(start):
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


def test_a_start_that_fails_ends_with_its_sentence_and_exit_code(start, app_events):
    service = start("--fault", "conflict")
    assert service.ended() == 5
    assert service.said[-1] == "kala: port 8000 is taken; give another with --port\n"
    assert app_events(service)[-1] == "stop"


class TestReload:
    def test_sighup_changes_what_can_be_changed_in_place(self, start, home):
        service = start()
        service.expect(READY)
        (home / "kala.toml").write_text("default_owner = 'ann@example.org'\nkill_grace = 1")
        service.send(signal.SIGHUP)
        service.expect("app reload: owner ann@example.org, port 8000")
        service.expect("settings reloaded; changed: default_owner, kill_grace")

    def test_what_needs_a_restart_is_named_and_stays(self, start, home):
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

    def test_a_file_that_is_gone_changes_nothing(self, start, home):
        service = start()
        service.expect(READY)
        (home / "kala.toml").unlink()
        service.send(signal.SIGHUP)
        service.expect("error: keeping the current settings: KALA_CONFIG:")

    def test_the_log_becomes_verbose_in_place(self, start, home):
        service = start("--rounds", "1")
        service.expect(READY)
        (home / "kala.toml").write_text("verbose = true")
        service.send(signal.SIGHUP)
        service.expect("changed: verbose")
        service.send(signal.SIGTERM)
        service.expect("debug: app is busy")
