"""The Python client does what clients/contract.json says."""

import itertools
from datetime import datetime
from operator import attrgetter

import msgspec
import pytest
from contract import CASES, TOKEN, ids, playing

from kala import client
from kala.client import Client, KalaError, Output, Run


def carried_out(kala, case):
    name, positional, options = case["call"]
    found = attrgetter(name)(kala)(*positional, **options)
    if isinstance(found, Output):
        return found.read().decode()
    if hasattr(found, "__next__"):
        return list(itertools.islice(found, case.get("take")))
    return found


def assert_like(found, wanted):
    """Compare only what the wanted result has."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            assert_like(found[name] if isinstance(found, dict) else getattr(found, name), value)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_like(one, other)
    elif isinstance(found, datetime):
        assert found == msgspec.convert(wanted, datetime)
    else:
        assert found == wanted


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_the_client_keeps_the_contract(case):
    with playing(case) as url, Client(url, token=TOKEN, timeout=10) as kala:
        if "error" not in case:
            assert_like(carried_out(kala, case), case["result"])
            return
        kind, sentence, status = case["error"]
        with pytest.raises(KalaError) as caught:
            carried_out(kala, case)
        assert (type(caught.value), caught.value.status) == (getattr(client, kind), status)
        assert sentence in (None, str(caught.value))


def test_a_run_that_no_client_has_read_says_so():
    run = Run(id=1, job_id="j", job_name="a", cause="manual", state="running", queued_at=datetime.now().astimezone())
    with pytest.raises(TypeError, match="was not read by a client"):
        run.refresh()
