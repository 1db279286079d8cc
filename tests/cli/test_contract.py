"""Commands make the requests of clients/contract.json, and exit as it says."""

import pytest
from click.testing import CliRunner
from contract import CASES, TOKEN, ids, playing

from kala.cli import commands

WITH_COMMAND = [case for case in CASES if "command" in case]


@pytest.mark.parametrize("case", WITH_COMMAND, ids=ids)
def test_a_command_keeps_the_contract(case):
    arguments, code = case["command"]
    with playing(case) as url:
        result = CliRunner().invoke(commands, arguments, env={"KALA_URL": url, "KALA_TOKEN": TOKEN})
    assert result.exit_code == code, result.output
    if "error" in case:
        assert result.stderr == f"kala: {case['error'][1]}\n"
