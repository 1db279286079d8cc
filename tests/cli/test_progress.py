import sys

from kala.cli.progress import progress


def test_a_person_sees_how_far_it_is_and_a_program_nothing(capsys, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("kala.cli.progress.time.monotonic", lambda: next(clock))
    with progress("written") as tell:
        tell(12_000_000)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("written") as tell:
        tell(12_000_000)
    assert capsys.readouterr().err == "\r\x1b[K12.0 MB written\r\x1b[K"
