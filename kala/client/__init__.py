"""A client for Kala's API, which needs only Python 3.10 and msgspec.

This package is also the package `kala_client`, so its modules import each other by relative names.
"""

from .access import CreatedToken, Entry, Invitation, Login, Me, Session, Token, User
from .client import Client
from .errors import (
    Busy,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    KalaError,
    NotFound,
    Outdated,
    RateLimited,
    ServerError,
    TooLarge,
    Unauthorized,
)
from .events import Event
from .job import CheckedJob, Created, Job, JobRef, LastRun, NewestRun, RemoteProperties, Summary
from .job_fields import JobFields, RemoteFields
from .output import Output
from .run import Chain, Run
from .schedule import ClockChange, Slots, Upcoming, UpcomingJob

__all__ = [
    "Busy",
    "Chain",
    "CheckedJob",
    "Client",
    "ClockChange",
    "Conflict",
    "ConnectionFailed",
    "Created",
    "CreatedToken",
    "Entry",
    "Event",
    "Forbidden",
    "Invalid",
    "Invitation",
    "Job",
    "JobFields",
    "JobRef",
    "KalaError",
    "LastRun",
    "Login",
    "Me",
    "NewestRun",
    "NotFound",
    "Outdated",
    "Output",
    "RateLimited",
    "RemoteFields",
    "RemoteProperties",
    "Run",
    "ServerError",
    "Session",
    "Slots",
    "Summary",
    "Token",
    "TooLarge",
    "Unauthorized",
    "Upcoming",
    "UpcomingJob",
    "User",
]
