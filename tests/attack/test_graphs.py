"""Jobs with very many parents, children and layers: other jobs do not wait for them."""

import time
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from process import Api, eventually
from scene import FAR

from kala.core.job import Command, Job, Spec
from kala.store.store import Store

ROOT = str(UUID(int=1))


@pytest.fixture
def stored(tmp_path):
    """Writes a root and its descendants to disk, each job given by its number and those of its parents."""

    def stored(nodes: dict[int, tuple[int, ...]], **root) -> None:
        now = datetime.now(UTC)
        store = Store(tmp_path / "data")
        with store.transaction():
            spec = Spec(name="root", action=Command("/bin/true"), schedule=FAR, **root)
            store.writer.jobs.add(Job(id=ROOT, spec=spec, created_at=now, next_due=datetime(2099, 1, 1, tzinfo=UTC)))
            for number, parents in nodes.items():
                names = tuple(str(UUID(int=parent)) for parent in parents)
                spec = Spec(name="node", action=Command("/bin/true"), parents=names)
                store.writer.jobs.add(Job(id=str(UUID(int=number)), spec=spec, created_at=now, next_due=None))
        store.release_writer()
        store.close()

    return stored


def test_enabling_a_root_with_many_paths_is_fast(under_attack, stored):
    """The root's 900 children are all parents of the head of a chain: 900 paths to each of its 3,600 jobs."""
    middle = tuple(range(2, 902))
    stored(
        dict.fromkeys(middle, (1,)) | {902: middle} | {number: (number - 1,) for number in range(903, 4502)},
        disabled=True,
    )
    with under_attack() as scene:
        with closing(Api(scene.kala.address)) as client:
            clock = time.monotonic()
            assert client.post(f"/job/enable/{ROOT}/").status == 204
            assert client.patch(f"/job/{ROOT}/", {"owner": "o@example.org"}).status == 200
            assert time.monotonic() - clock < 2
        scene.wait_until(3)


def test_starting_10000_children_makes_no_other_job_late(under_attack, stored):
    stored(dict.fromkeys(range(2, 10_002), (1,)))
    with under_attack() as scene:
        with closing(Api(scene.kala.address)) as client:
            client.go(ROOT)
            scene.wait_until(5)
        ended = scene.kala.query("SELECT count(*) FROM run WHERE job_name = 'node' AND ended_at IS NOT NULL")[0][0]
        assert ended > 1000


def test_deleting_a_parent_with_10000_children_makes_no_other_job_late(under_attack, stored):
    stored(dict.fromkeys(range(2, 10_002), (1,)))
    with under_attack() as scene:
        assert scene.kala.delete(f"/job/{ROOT}/").status == 204
        scene.wait_until(3)
        assert scene.kala.query("SELECT count(*) FROM job WHERE name = 'node'")[0][0] == 0


def test_a_chain_of_5000_jobs_makes_no_other_job_late(under_attack, stored):
    stored({number: (number - 1,) for number in range(2, 5002)})
    with under_attack() as scene:
        with closing(Api(scene.kala.address)) as client:
            client.go(ROOT)
            eventually(lambda: client.job(str(UUID(int=100)))["success_count"])
            # This would close a cycle at the other end, so the whole chain is searched.
            clock = time.monotonic()
            assert client.patch(f"/job/{UUID(int=2)}/", {"parent_jobs": [str(UUID(int=5001))]}).status == 400
            assert time.monotonic() - clock < 2
        scene.wait_until(3)


def test_layers_of_parents_do_not_multiply_their_runs(under_attack, stored):
    """Nine layers of ten jobs, each with all ten of the layer above as parents: 10^9 runs if each path had its own."""
    layers = [(1,), *(tuple(range(10 * layer, 10 * layer + 10)) for layer in range(1, 10))]
    stored({job: above for above, layer in pairwise(layers) for job in layer})
    with under_attack() as scene:
        with closing(Api(scene.kala.address)) as client:
            client.go(ROOT)
        scene.wait_until(3)
        assert scene.kala.query("SELECT count(*) FROM run WHERE job_name = 'node'")[0][0] < 1000
        assert not scene.kala.query("SELECT id FROM run WHERE job_name = 'node' AND ended_at IS NULL")
