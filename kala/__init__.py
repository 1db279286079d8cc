"""Kala, a job scheduler service that a team can trust with its cron jobs."""

from pathlib import Path

__version__ = "0.2.0"

# Written when Kala is built. A clone has none, because git knows the commit.
COMMIT_FILE = Path(__file__).with_name("commit.txt")


def commit() -> str | None:
    """Return the commit that Kala was built from, if it is known."""
    return COMMIT_FILE.read_text().strip() if COMMIT_FILE.exists() else None
