"""Values that tests of several rooms use."""

from datetime import UTC, datetime
from pathlib import Path

# A certificate for localhost, and its key.
LOCALHOST = Path(__file__).parent / "runner" / "localhost.pem"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

HOURLY = "R/2030-01-01T13:00:00Z/PT1H"
"""A schedule whose first slot is an hour after NOON."""

FAR = "R/2099-01-01T00:00:00Z/PT1H"
"""A schedule that is not due while a test runs."""

NEVER = "0001-01-01T00:00:00Z"
"""What the API shows for a time that does not exist."""

UNKNOWN = "00000000-0000-4000-8000-000000000000"
"""A valid id that no job has."""

JOB = {"name": "a", "command": "true", "schedule": FAR}


def local(instant: str) -> str:
    """An instant as the server's clock shows it."""
    return datetime.fromisoformat(instant).astimezone().isoformat()


NO_COUNTS = {
    "success_count": 0,
    "last_success": NEVER,
    "error_count": 0,
    "last_error": NEVER,
    "last_attempted_run": NEVER,
}
"""The counts and times of a job that has never run."""

REMOTE = {
    "url": "https://example.org/hook",
    "method": "POST",
    "body": "hello",
    "headers": {"Accept": ["text/plain", "text/html"], "X-Key": ["1"]},
    "timeout": 5,
    "expected_response_codes": [201, 204],
}
