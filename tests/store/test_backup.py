"""A backup has all that Kala keeps, as of one moment, and only a whole one is restored."""

import io
import tarfile

import pytest

from kala.core.errors import Conflict, Invalid
from kala.store import backup
from kala.store.store import Store


@pytest.fixture
def data(tmp_path):
    """A data directory with an output and what is there only for the moment."""
    folder = tmp_path / "data"
    Store(folder).close()
    for name, content in {"0/1.out": b"printed\0", "live/2.out": b"half"}.items():
        path = folder / "output" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def file(data, tmp_path):
    backup.make(data, tmp_path / "kala.tar")
    return tmp_path / "kala.tar"


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def archive(path, **members: bytes):
    with tarfile.open(path, "w") as made:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return path


class TestABackup:
    def test_has_the_database_and_the_outputs_of_runs_that_have_ended(self, file):
        with tarfile.open(file) as found:
            assert found.getnames() == ["kala.db", "output/0/1.out"]

    def test_is_for_its_owner_alone(self, file):
        assert file.stat().st_mode & 0o777 == 0o600

    def test_leaves_nothing_else_behind(self, file, data):
        assert {path.name for path in file.parent.iterdir()} == {"data", "kala.tar"}
        assert tree(data) >= {"kala.db", "output/0/1.out", "output/live/2.out"}

    def test_replaces_no_file(self, file, data):
        before = file.read_bytes()
        with pytest.raises(Conflict, match=r"kala\.tar is there already; give a new name"):
            backup.make(data, file)
        assert file.read_bytes() == before

    @pytest.mark.parametrize("name", ["kala", "kala.db-wal.tar", "kala.db.part"])
    def test_harms_no_file_beside_it_not_even_the_database(self, data, name):
        (data / "kala.part").write_bytes(b"somebody's")
        before = tree(data)
        backup.make(data, data / name)
        assert tree(data) - {"kala.db-shm", "kala.db-wal"} == before | {name}
        assert (data / "kala.part").read_bytes() == b"somebody's"
        Store(data).close()

    def test_is_refused_where_there_is_nothing_to_back_up(self, tmp_path):
        with pytest.raises(Invalid, match=r"^data_dir: .* has no kala\.db; give the directory"):
            backup.make(tmp_path, tmp_path / "kala.tar")
        assert tree(tmp_path) == set()

    def test_is_refused_where_it_cannot_lie(self, data, tmp_path):
        with pytest.raises(Invalid, match=r"there is no directory .*/nowhere; give a file in one that there is"):
            backup.make(data, tmp_path / "nowhere/kala.tar")

    @pytest.mark.parametrize("damage", [4096, 0])
    def test_of_a_damaged_database_is_refused_as_nobody_could_restore_it(self, data, tmp_path, damage):
        with (data / "kala.db").open("r+b") as database:
            database.seek(damage)
            database.write(b"\xff" * 4096)
        with pytest.raises(Invalid, match=r"kala\.db is (damaged: |not a database)"):
            backup.make(data, tmp_path / "kala.tar")
        assert {path.name for path in tmp_path.iterdir()} == {"data"}


class TestARestore:
    def test_makes_a_directory_that_kala_can_open(self, file, tmp_path):
        backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.db", "kala.lock", "output/0/1.out"}
        assert (tmp_path / "new/output/0/1.out").read_bytes() == b"printed\0"
        Store(tmp_path / "new").close()

    def test_makes_files_for_their_owner_alone(self, file, tmp_path):
        backup.restore(file, tmp_path / "new")
        paths = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}

    def test_replaces_no_data(self, file, data):
        with pytest.raises(Conflict, match=r"^data_dir: .* has kala\.db already; move the whole directory away first"):
            backup.restore(file, data)

    @pytest.mark.parametrize("left", ["kala.db-wal", "kala.db-shm", "output/7/7001.out"])
    def test_mixes_with_nothing_that_another_kala_left(self, file, tmp_path, left):
        path = tmp_path / "new" / left
        path.parent.mkdir(parents=True)
        path.write_bytes(b"another's")
        with pytest.raises(Conflict, match=f"has {left} already; move the whole directory away first"):
            backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {left}

    def test_that_failed_can_be_tried_again(self, file, tmp_path):
        bad = archive(tmp_path / "bad.tar", **{"output/3/3001.out": b"x", "kala.db": b"nonsense"})
        with pytest.raises(Invalid, match="is damaged"):
            backup.restore(bad, tmp_path / "new")
        backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.db", "kala.lock", "output/0/1.out"}

    def test_is_refused_where_kala_is_about_to_start(self, file, tmp_path):
        store = Store(tmp_path / "new")
        (tmp_path / "new/kala.db").unlink()
        with pytest.raises(Conflict, match="another Kala runs on"):
            backup.restore(file, tmp_path / "new")
        store.close()

    def test_writes_nothing_outside_of_its_place(self, tmp_path, data):
        database = (data / "kala.db").read_bytes()
        evil = {"../evil": b"x", "/tmp/evil": b"x", "output/../../evil.out": b"x", "output/0/1.out": b"x"}
        file = archive(tmp_path / "evil.tar", **{"kala.db": database} | evil)
        backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.db", "kala.lock", "output/0/1.out"}
        assert not (tmp_path / "evil").exists()
        assert not (tmp_path / "evil.out").exists()

    @pytest.mark.parametrize(
        ("members", "why"),
        [({}, "it has no kala.db"), ({"kala.db": b"nonsense" * 1000}, "is damaged: file is not a database")],
    )
    def test_of_what_is_no_backup_is_refused_and_leaves_no_database(self, tmp_path, members, why):
        file = archive(tmp_path / "bad.tar", **members)
        with pytest.raises(Invalid, match=why):
            backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.lock"}

    @pytest.mark.parametrize("kept", [0, 100, 20_000])
    def test_of_half_a_backup_is_refused_and_leaves_no_database(self, file, tmp_path, kept):
        file.write_bytes(file.read_bytes()[:kept])
        with pytest.raises(Invalid, match="is no backup of Kala: "):
            backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") <= {"kala.lock"}
