"""Backups of a running Kala, and restores of them."""

FAR = "R/2099-01-01T00:00:00Z/PT1H"


def test_a_backup_made_while_runs_end_is_consistent_and_kala_continues_from_it(serve, make, tmp_path):
    kala = serve()
    jobs = [kala.create(name=f"{n}", command="seq 10000", schedule=FAR, overlap="allow") for n in range(5)]
    for job in jobs * 20:
        kala.go(job)
    kala.runs(jobs[0], 3)
    made = kala.tell("backup", "--data-dir", str(kala.data), str(tmp_path / "kala.tar"))
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    before = {run["id"] for run in kala.history("limit=1000")}
    (tmp_path / "elsewhere").mkdir()
    other = make(home=tmp_path / "elsewhere")
    other.tell("restore", "--data-dir", str(other.data), str(tmp_path / "kala.tar"))
    other.start()
    expected = b"".join(b"%d\n" % n for n in range(1, 10_001))
    assert [other.job(job)["name"] for job in jobs] == [kala.job(job)["name"] for job in jobs]
    ended = other.history("state=succeeded&limit=1000")
    assert len(ended) >= 3
    for run in ended:
        assert run["id"] in before
        assert other.output(run["id"]) == (200, expected)


def test_a_directory_that_kala_uses_is_not_restored_into(kala, tmp_path):
    kala.tell("backup", "--data-dir", str(kala.data), str(tmp_path / "kala.tar"))
    refused = kala.tell("restore", "--data-dir", str(kala.data), str(tmp_path / "kala.tar"))
    assert refused.returncode == 5
    assert "already contains kala.db; move the whole directory away first" in refused.stderr


def test_files_of_a_killed_kala_are_not_mixed_with_a_backup(kala, tmp_path):
    kala.create(name="in the backup", schedule=FAR)
    kala.tell("backup", "--data-dir", str(kala.data), str(tmp_path / "kala.tar"))
    kala.create(name="later", schedule=FAR)
    kala.kill()
    (kala.data / "kala.db").unlink()
    refused = kala.tell("restore", "--data-dir", str(kala.data), str(tmp_path / "kala.tar"))
    assert refused.returncode == 5
    assert "already contains kala.db-wal; move the whole directory away first" in refused.stderr


def test_on_a_damaged_database_kala_exits_and_says_what_to_do(kala, damage):
    kala.create(schedule=FAR)
    kala.stop()
    damage(kala.data / "kala.db")
    kala.launch()
    assert (
        "disk image is malformed; nothing was changed; if this persists, stop Kala and restore a backup"
        in kala.says("kala: ")
    )
    assert kala.ended() == 7
