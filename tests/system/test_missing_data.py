"""A job deletes Kala's data: no change is acknowledged that is only in a deleted file."""

FAR = "R/2099-01-01T00:00:00Z/PT1H"


def refused(kala):
    """Return the first refusal to create a job; the jobs accepted before it were on disk at that time."""
    status, body = kala.post("/job/", {"name": "after", "command": "true", "schedule": FAR})
    return body["error"] if status == 503 else ""


def test_kala_refuses_changes_logs_it_once_and_stops_cleanly(serve, eventually):
    kala = serve("--shutdown-grace", "1", "--kill-grace", "1")  # the end of the job's run cannot be written, either
    kala.create(name="clears its folder", command="rm -rf ./*", working_directory=str(kala.data))
    error = eventually(lambda: refused(kala))
    assert error.startswith(f"storage: {kala.data}/kala.db was deleted or replaced while Kala had it open; ")
    assert error.endswith("put it back, or stop Kala and restore a backup")
    for _ in range(3):
        assert refused(kala) == error
    assert kala.stop() == 0
    assert kala.log.count("was deleted or replaced") == 1


def test_kala_continues_when_the_folder_is_back(kala, eventually):
    kala.data.rename(kala.home / "away")
    assert eventually(lambda: refused(kala))
    (kala.home / "away").rename(kala.data)
    job = eventually(lambda: (answer := kala.post("/job/", {"name": "b", "command": "true"})).status == 201 and answer)
    kala.runs(job.body["id"], 1)
    assert kala.says("the database is writable again")
