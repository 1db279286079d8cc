"""The variables of Kala's own environment that commands get."""

import pytest

from kala.runner.environment import for_commands


def test_commands_get_the_environment_of_kala():
    given = {"PATH": "/usr/bin", "HOME": "/root", "LANG": "C.UTF-8", "HTTP_PROXY": "http://proxy"}
    assert for_commands(given) == given


@pytest.mark.parametrize(
    "name",
    [
        *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"),
        *("INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MAINPID", "MANAGERPID", "PIDFILE", "FDSTORE"),
        *("STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY", "CONFIGURATION_DIRECTORY"),
        *("CREDENTIALS_DIRECTORY", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "SYSTEMD_LOG_LEVEL"),
        *("KALA_TOKEN", "KALA_TOKEN_FILE", "KALA_ADMIN_TOKEN_FILE"),
        *("KALA_DATA_DIR", "KALA_PORT", "_MEIPASS2", "_PYI_ARCHIVE_FILE", "PYINSTALLER_RESET_ENVIRONMENT"),
    ],
)
def test_commands_do_not_get_the_variables_that_are_meant_for_kala(name):
    assert for_commands({"PATH": "/usr/bin", name: "1"}) == {"PATH": "/usr/bin"}


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        pytest.param({"LD_LIBRARY_PATH": "/opt"}, {"LD_LIBRARY_PATH": "/opt"}, id="the starter's own"),
        pytest.param(
            {"LD_LIBRARY_PATH": "/tmp/_MEI1", "LD_LIBRARY_PATH_ORIG": "/opt", "_PYI_ARCHIVE_FILE": "kala"},
            {"LD_LIBRARY_PATH": "/opt"},
            id="the one before the binary changed it",
        ),
        pytest.param(
            {"LD_LIBRARY_PATH": "/tmp/_MEI1", "_PYI_ARCHIVE_FILE": "kala"}, {}, id="not the one of the binary"
        ),
    ],
)
def test_commands_find_the_systems_libraries_instead_of_the_binarys(given, seen):
    assert for_commands(given) == seen
