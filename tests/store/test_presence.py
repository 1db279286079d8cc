"""Kala stops writing to a database that was deleted or replaced while Kala has it open."""

import shutil
from datetime import UTC, datetime

import pytest

from kala.core.errors import Busy
from kala.core.job import Command, Job, Spec

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
FILES = ["kala.db", "kala.db-wal", "kala.db-shm", "kala.lock"]
REFUSAL = "was deleted or replaced while Kala had it open; nothing was changed; put it back, or stop Kala and restore"


def add(store, number):
    with store.transaction():
        store.writer.jobs.add(
            Job(id=number, spec=Spec(name="a", action=Command("true")), created_at=NOON, next_due=None)
        )


@pytest.fixture
def store(store):
    add(store, "before")
    return store


@pytest.fixture
def folder(store):
    return store.outputs.parent


class TestWritingIsRefused:
    @pytest.mark.parametrize("name", FILES)
    def test_after_a_file_was_deleted(self, store, folder, name):
        (folder / name).unlink()
        with pytest.raises(Busy, match=f"^storage: {folder}/{name} {REFUSAL}"):
            add(store, "after")

    @pytest.mark.parametrize("name", FILES)
    def test_after_a_file_was_replaced_by_its_copy(self, store, folder, name):
        shutil.copy(folder / name, folder / "copy")
        (folder / "copy").rename(folder / name)
        with pytest.raises(Busy, match=f"{name} {REFUSAL}"):
            add(store, "after")

    def test_after_the_folder_was_deleted(self, store, folder):
        shutil.rmtree(folder)
        with pytest.raises(Busy, match=REFUSAL):
            add(store, "after")

    def test_after_the_folder_was_replaced_by_its_copy(self, store, folder):
        folder.rename(folder.with_name("old"))
        shutil.copytree(folder.with_name("old"), folder)
        with pytest.raises(Busy, match=REFUSAL):
            add(store, "after")

    def test_by_an_empty_transaction_so_that_an_idle_kala_notices(self, store, folder):
        (folder / "kala.db").unlink()
        with pytest.raises(Busy, match=REFUSAL), store.transaction():
            pass

    def test_and_leaves_nothing_in_the_open_file(self, store, folder):
        folder.rename(folder.with_name("away"))
        with pytest.raises(Busy):
            add(store, "after")
        folder.with_name("away").rename(folder)
        with store.reading(()) as session:
            assert session.jobs.get("after") is None


def test_writing_works_again_once_the_file_is_back(store, folder):
    (folder / "kala.db").rename(folder / "away")
    with pytest.raises(Busy):
        add(store, "after")
    (folder / "away").rename(folder / "kala.db")
    add(store, "after")
    with store.reading(()) as session:
        assert session.jobs.get("after")


def test_writing_continues_on_a_new_connection_with_another_log_file(store):
    store.release_writer()
    add(store, "after")
