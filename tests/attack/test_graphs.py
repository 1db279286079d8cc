"""Jobs with very many parents, children and layers: none of them makes the others wait."""

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
    """Puts a root and jobs below it, each named by its number with the numbers of its parents, on disk."""

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


def test_enabling_a_root_of_many_ways_takes_no_time(under_attack, stored):
    """The root's 900 children are all parents of the head of a chain: 900 ways to each of its 3,600 jobs."""
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
        scene.lasts(3)


def test_a_parent_with_10000_children_starts_them_without_making_others_late(under_attack, stored):
    stored(dict.fromkeys(range(2, 10_002), (1,)))
    with under_attack() as scene:
        with closing(Api(scene.kala.address)) as client:
            client.go(ROOT)
            scene.lasts(5)
        ended = scene.kala.query("SELECT count(*) FROM run WHERE job_name = 'node' AND ended_at IS NOT NULL")[0][0]
        assert ended > 1000


def test_a_parent_with_10000_children_is_deleted_without_making_others_late(under_attack, stored):
    stored(dict.fromkeys(range(2, 10_002), (1,)))
    with under_attack() as scene:
        assert scene.kala.delete(f"/job/{ROOT}/").status == 204
        scene.lasts(3)
        assert scene.kala.query("SELECT count(*) FROM job WHERE name = 'node'")[0][0] == 0


def test_a_chain_of_5000_is_followed_without_making_others_late(under_attack, stored):
    stored({number: (number - 1,) for number in range(2, 5002)})
    with under_attack() as scene:
        with closing(Api(scene.kala.address)) as client:
            client.go(ROOT)
            eventually(lambda: client.job(str(UUID(int=100)))["success_count"])
            # A circle would be closed at the other end: the whole chain is searched.
            clock = time.monotonic()
            assert client.patch(f"/job/{UUID(int=2)}/", {"parent_jobs": [str(UUID(int=5001))]}).status == 400
            assert time.monotonic() - clock < 2
        scene.lasts(3)


def test_layers_of_parents_do_not_multiply_their_runs(under_attack, stored):
    """Nine layers of ten jobs, each with all ten before it as parents: 10^9 runs, if each run caused its own."""
    layers = [(1,), *(tuple(range(10 * layer, 10 * layer + 10)) for layer in range(1, 10))]
    stored({job: above for above, layer in pairwise(layers) for job in layer})
    with under_attack() as scene:
        with closing(Api(scene.kala.address)) as client:
            client.go(ROOT)
        scene.lasts(3)
        assert scene.kala.query("SELECT count(*) FROM run WHERE job_name = 'node'")[0][0] < 1000
        assert not scene.kala.query("SELECT id FROM run WHERE job_name = 'node' AND ended_at IS NULL")
