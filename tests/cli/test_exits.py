import errno

import click
import pytest
from click.testing import CliRunner

from kala import client
from kala.cli.exits import EXITS, exit_code, sentences
from kala.core import errors
from kala.core.errors import Busy, Conflict, Forbidden, Invalid, KalaError, NotFound, Outdated


def outcome_of(error: Exception):
    @click.command()
    def command():
        with sentences():
            raise error

    return CliRunner().invoke(command)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(Invalid, 2), (NotFound, 4), (Conflict, 5), (Forbidden, 6), (Busy, 7), (Outdated, 5), (KalaError, 1)],
)
def test_each_kind_of_error_has_an_exit_code_and_a_sentence(kind, code):
    result = outcome_of(kind("the job is gone; look for another"))
    assert (result.exit_code, result.stderr) == (code, "kala: the job is gone; look for another\n")


def test_the_table_has_every_kind_of_error_of_kala_and_of_its_client():
    kinds = {
        name
        for module in (errors, client)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, (errors.KalaError, client.KalaError))
    }
    listed = [name for row in EXITS for name in row.errors]
    assert sorted(listed) == sorted(kinds - {"ServerError", "NoRole"})  # like KalaError, and like Forbidden
    assert [row.code for row in EXITS] == list(range(len(EXITS)))


def test_an_error_of_the_client_exits_like_its_namesake():
    assert (exit_code(client.NotFound("x")), exit_code(client.ServerError("x"))) == (4, 1)
    assert exit_code(ZeroDivisionError()) == 0


def test_a_subclass_exits_like_its_base_class():
    class TooLong(Invalid):
        pass

    assert exit_code(TooLong()) == 2


def test_an_os_error_names_the_file():
    result = outcome_of(PermissionError(errno.EACCES, "Permission denied", "/var/lib/kala"))
    assert (result.exit_code, result.stderr) == (1, "kala: /var/lib/kala: Permission denied\n")


def test_an_os_error_without_a_file_is_a_sentence_too():
    assert outcome_of(OSError(errno.ENOSPC, "No space left on device")).stderr == "kala: No space left on device\n"
    assert outcome_of(OSError("odd")).stderr == "kala: odd\n"


def test_a_broken_pipe_prints_no_error():
    assert outcome_of(BrokenPipeError(errno.EPIPE, "Broken pipe")).stderr == ""


def test_a_bug_keeps_its_traceback():
    assert isinstance(outcome_of(ZeroDivisionError()).exception, ZeroDivisionError)
