"""The store locks a data directory, writes all or nothing, and lets readers see what is committed."""

import errno
import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from kala.core.errors import Busy, Conflict, Invalid
from kala.core.job import Command, Job, Spec
from kala.store import migrations
from kala.store import store as module
from kala.store.store import Store

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
BIG = "x" * 100_000


def job(number: int, name: str = "backup") -> Job:
    return Job(id=str(number), spec=Spec(name=name, action=Command("true")), created_at=NOON, next_due=None)


def add(store: Store, *jobs: Job) -> None:
    with store.transaction():
        for one in jobs:
            store.writer.jobs.add(one)


def ids(store: Store) -> list[str]:
    """The jobs that a reader sees."""
    with store.reading(()) as session:
        return [job for job in "123" if session.jobs.get(job)]


class TestTheSchema:
    def test_the_migrations_that_databases_have_applied_never_change(self):
        found = [sha256("\n".join(statements).encode()).hexdigest()[:8] for statements in migrations.MIGRATIONS]
        assert found == [
            *["02c93555", "126141fa", "05a9faac", "dd391319", "352f5336", "a1cec12b", "d5c55659"],
            "98826040",
            "abd9abfc",
            "7763614e",
            "c6b6d32b",
            "c1a18155",
            "3cd3daba",
            "7c5b0279",
            "351c41fb",
        ]

    def test_a_database_has_the_number_of_the_last_migration(self, store):
        assert store._writing.pragma("user_version") == len(migrations.MIGRATIONS)

    def test_a_migration_that_fails_leaves_nothing_behind(self, tmp_path, monkeypatch):
        broken = ("CREATE TABLE half (id INTEGER)", "CREATE TABLE half (id INTEGER)")
        monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, broken))
        with pytest.raises(Invalid, match="table half already exists"):
            Store(tmp_path)
        with sqlite3.connect(tmp_path / "kala.db") as database:
            assert database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
            assert database.execute("PRAGMA user_version").fetchone() == (len(migrations.MIGRATIONS) - 1,)
        database.close()


class TestOpening:
    def test_a_folder_that_does_not_exist_is_created_for_its_owner_only(self, tmp_path):
        Store(tmp_path / "var" / "kala").close()
        assert (tmp_path / "var" / "kala").stat().st_mode & 0o777 == 0o700

    def test_a_second_kala_on_the_same_folder_is_refused(self, tmp_path):
        first = Store(tmp_path)
        with pytest.raises(Conflict) as refusal:
            Store(tmp_path)
        assert str(refusal.value) == (
            f"data_dir: another Kala is using {tmp_path}; stop it first, or use another directory"
        )
        first.close()

    def test_a_folder_is_unlocked_when_its_kala_has_closed_it(self, tmp_path):
        Store(tmp_path).close()
        Store(tmp_path).close()

    def test_written_data_is_there_when_it_is_opened_again(self, tmp_path):
        first = Store(tmp_path)
        add(first, job(1))
        first.release_writer()
        first.close()
        second = Store(tmp_path)
        assert ids(second) == ["1"]
        second.close()

    def test_a_database_of_a_newer_kala_is_refused(self, tmp_path):
        Store(tmp_path).close()
        with sqlite3.connect(tmp_path / "kala.db") as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        with pytest.raises(Conflict) as refusal:
            Store(tmp_path)
        assert str(refusal.value) == (
            f"data_dir: {tmp_path}/kala.db was written by a newer version of Kala (schema 99; this version supports "
            f"{len(migrations.MIGRATIONS)}); install that version again, or restore a backup made before the upgrade"
        )

    def test_a_refused_database_does_not_leave_its_folder_locked(self, tmp_path):
        (tmp_path / "kala.db").write_bytes(b"no database" * 100)
        with suppress(Invalid):
            Store(tmp_path)
        (tmp_path / "kala.db").unlink()
        Store(tmp_path).close()

    @pytest.mark.parametrize("contents", [b"no database" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
    def test_a_file_that_is_not_a_database_is_refused(self, tmp_path, contents):
        (tmp_path / "kala.db").write_bytes(contents)
        with pytest.raises(Invalid, match=f"^data_dir: {tmp_path}/kala.db cannot be used as Kala's database: "):
            Store(tmp_path)

    def test_a_folder_in_the_place_of_the_database_is_refused(self, tmp_path):
        (tmp_path / "kala.db").mkdir()
        with pytest.raises(Invalid, match=r"kala\.db cannot be used as Kala's database: unable to open database file"):
            Store(tmp_path)

    def test_a_file_in_the_place_of_the_folder_is_refused(self, tmp_path):
        (tmp_path / "kala").touch()
        with pytest.raises(Invalid, match=f"^data_dir: {tmp_path}/kala: .*; use a directory that Kala can write to$"):
            Store(tmp_path / "kala")

    def test_a_folder_that_cannot_be_created_is_refused(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(Invalid, match=r"file/kala: Not a directory; use a directory that Kala can write to$"):
            Store(tmp_path / "file" / "kala")

    def test_a_database_that_another_program_has_locked_is_busy_so_that_a_start_is_retried(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "_WRITER_TIMEOUT", 0)
        other = sqlite3.connect(tmp_path / "kala.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            Busy, match=r"kala\.db cannot be used at the moment: database is locked; fix this, then start"
        ):
            Store(tmp_path)
        other.close()

    def test_a_full_disk_is_busy_so_that_a_start_is_retried(self, tmp_path, monkeypatch):
        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "mkdir", full)
        with pytest.raises(Busy, match=r"^data_dir: .*/kala: No space left on device; fix this, then start Kala"):
            Store(tmp_path / "kala")

    @pytest.mark.parametrize("name", ["a b", "a?mode=rw#x", "a%41", "käse"])
    def test_the_folder_may_have_any_name(self, tmp_path, name):
        store = Store(tmp_path / name)
        add(store, job(1))
        assert ids(store) == ["1"]
        store.release_writer()
        store.close()


class TestWriting:
    def test_a_reader_sees_nothing_before_the_commit_and_everything_after_it(self, store):
        with store.transaction():
            store.writer.jobs.add(job(1))
            before = ids(store)
        assert (before, ids(store)) == ([], ["1"])

    def test_a_reader_keeps_its_view_while_the_writer_commits(self, store):
        with store.reading(()) as session:
            assert session.jobs.get("1") is None
            add(store, job(1))
            assert session.jobs.get("1") is None

    def test_a_transaction_that_raises_leaves_nothing_behind(self, store):
        with suppress(ZeroDivisionError), store.transaction():
            store.writer.jobs.add(job(1))
            raise ZeroDivisionError
        assert ids(store) == []

    def test_only_the_savepoint_that_raises_is_undone(self, store):
        with store.transaction():
            store.writer.jobs.add(job(1))
            with suppress(ZeroDivisionError), store.savepoint():
                store.writer.jobs.add(job(2))
                raise ZeroDivisionError
            store.writer.jobs.add(job(3))
        assert ids(store) == ["1", "3"]

    def test_a_reader_cannot_write(self, store):
        with store.reading(()) as session, pytest.raises(sqlite3.OperationalError, match="readonly"):
            session.jobs.add(job(1))

    def test_a_full_disk_is_busy_and_changes_nothing(self, store):
        pages = store._writing.pragma("page_count")
        store._writing.pragma("max_page_count", pages)
        with pytest.raises(Busy) as refusal:
            add(store, job(1), job(2, BIG))
        assert str(refusal.value) == (
            "storage: the database cannot be written: database or disk is full; nothing was changed"
        )
        assert ids(store) == []

    def test_a_failed_sync_does_not_say_that_nothing_was_changed(self, store):
        fault = sqlite3.OperationalError("disk I/O error")
        fault.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        unsure = r"disk I/O error; check whether the change was made before you try again$"
        with pytest.raises(Busy, match=unsure), store.transaction():
            raise fault

    def test_the_original_error_is_reported_where_sqlite_has_rolled_back_by_itself(self, store):
        def go_wrong() -> None:
            with store.transaction():
                store._writing.execute_sql("ROLLBACK")
                store._writing.execute_sql("SELECT * FROM nowhere")

        with pytest.raises(Busy, match=r"cannot be written: no such table: nowhere; nothing was changed$"):
            go_wrong()

    def test_writing_works_again_after_a_full_disk(self, store):
        pages = store._writing.pragma("page_count")
        store._writing.pragma("max_page_count", pages)
        with suppress(Busy), store.transaction(), store.savepoint():
            store.writer.jobs.add(job(2, BIG))
        store._writing.pragma("max_page_count", 1 << 30)
        add(store, job(1))
        assert ids(store) == ["1"]

    def test_the_error_of_a_damaged_database_recommends_a_backup(self, tmp_path, damage):
        Store(tmp_path).close()
        damage(tmp_path / "kala.db")
        store = Store(tmp_path)
        sentence = (
            r"database disk image is malformed; nothing was changed; if this persists, stop Kala and restore a backup$"
        )
        with pytest.raises(Busy, match=sentence), store.reading(()) as session:
            session.jobs.totals()
        with pytest.raises(Busy, match=sentence), store.transaction():
            store.writer.jobs.add(job(1))
        store.release_writer()
        store.close()

    def test_a_lock_that_another_program_holds_is_busy(self, store):
        other = sqlite3.connect(store.outputs.parent / "kala.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store._writing.connection().execute("PRAGMA busy_timeout = 0")
        with pytest.raises(Busy, match="database is locked"), store.transaction():
            pass
        other.close()


def test_a_commit_survives_a_power_cut_by_default(store):
    assert store._writing.pragma("synchronous") == 2


def test_normal_durability_may_lose_the_last_commits_in_a_power_cut(tmp_path):
    store = Store(tmp_path, "normal")
    assert store._writing.pragma("synchronous") == 1
    store.release_writer()
    store.close()
