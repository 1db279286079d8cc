"""What the tests of runner share."""

import pytest
from runner.workbench import PATIENCE, Bench


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.start()
    yield bench
    bench.executor.cancel_all("the test is over", force=True)
    bench.executor.stop(PATIENCE)
