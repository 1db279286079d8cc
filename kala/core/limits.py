"""The limits that keep one job, client or server from using up everything: the table in docs/operations.md.

Each limit has its number, what the number counts, and what happens when it is reached. Bounds of a single field, such
as the highest priority, are defined with the field.
"""

from typing import Self


class Limit(int):
    """A number that also says what it limits and what happens when the limit is reached."""

    what: str
    then: str

    def __new__(cls, value: int, what: str, then: str) -> Self:
        limit = super().__new__(cls, value)
        limit.what = what
        limit.then = then
        return limit


# The content of a request.
NAMES = Limit(100, "fields in a JSON object", "the request is refused")
TOKENS = Limit(40_000, "strings, commas and opening brackets in the JSON of a request", "the request is refused")
LINE = Limit(1_000, "characters in a string of one line", "the request is refused")
PROSE = Limit(2_000, "characters in a job's description", "the job is refused")
TAG = Limit(50, "characters in a tag of a job", "the job is refused")
TAGS = Limit(20, "tags of a job", "the job is refused")
# Linux accepts no longer path (PATH_MAX in limits.h, without the terminating NUL).
PATH = Limit(4_095, "bytes in a job's working_directory or shell", "the job is refused")
VARIABLES = Limit(1_000, "variables in a job's env", "the job is refused")
# Linux accepts no variable of 128 KiB or more (execve(2), MAX_ARG_STRLEN). A variable for a command of another user has
# a temporary name that can be longer, and the names of all such variables are one argument.
VARIABLE = Limit(131_000, "bytes in a variable of a job's env, including its name", "the job is refused")
VARIABLE_NAME = Limit(100, "characters in the name of a variable", "the job is refused")
HEADERS = Limit(100, "headers of an HTTP job, and values of each header", "the job is refused")
CODES = Limit(1_000, "exit codes or response codes in a list", "the job is refused")
_TEMPLATE_REFUSED = "the job is refused; if an older version of Kala stored it, its runs fail"
TEMPLATE = Limit(65_536, "characters in a template", _TEMPLATE_REFUSED)
TEMPLATE_TOKENS = Limit(2_000, "names, operators and literals in a template", _TEMPLATE_REFUSED)
TEMPLATE_DEPTH = Limit(50, "levels of nesting in a template", _TEMPLATE_REFUSED)
# Linux accepts no argument of 128 KiB or more (execve(2), MAX_ARG_STRLEN).
RENDERED = Limit(131_071, "bytes in a command, URL or body made from a template", _TEMPLATE_REFUSED)

# Dependencies and queues.
PARENTS = Limit(1_000, "parents of a job", "the job is refused")
CHILDREN = Limit(10_000, "children of a job", "another one is refused")
DEPENDENCIES = Limit(200_000, "dependencies in total", "another one is refused")
DELETED = Limit(
    10_000, "descendants deleted together with a job", "the deletion is refused; delete some descendants first"
)
_RUN_REFUSED = "a manual start is refused; any other run is recorded as skipped, with the reason"
QUEUED_OF_JOB = Limit(1_000, "queued runs of a job", _RUN_REFUSED)
QUEUED = Limit(100_000, "queued runs in total", _RUN_REFUSED)
FOLLOWERS = Limit(500, "children queued in one step of the engine", "the rest follow in the next steps")
REMAINS = Limit(
    2_000, "queued runs of deleted jobs cancelled in one step of the engine", "the rest follow in the next steps"
)
RETRIES_AT_ONCE = Limit(
    10, "attempts of a run without a pause between them", "each further attempt waits at least a second"
)

BULK = Limit(10_000, "jobs in a bulk request", "the request is refused")

# Runs.
COUNTED_DAYS = Limit(35, "days for which it is counted how many runs ended in each minute", "the counts are deleted")
MESSAGE = Limit(1_000, "characters in a run's message", "the message is cut and ends with …")
LOG_LINE = Limit(4_000, "characters in a log line, and in each of its fields", "the text is cut and ends with …")
LOOKUPS = Limit(128, "concurrent host name lookups", "further lookups wait, up to the timeout of their HTTP call")
REDIRECTS = Limit(10, "redirects followed by an HTTP call", "the run fails")
RESPONSE_HEAD = Limit(65_536, "bytes in the status line and headers of a response to an HTTP call", "the run fails")
RESPONSE_UNPACKED = Limit(100 << 20, "bytes in a decompressed response to an HTTP call", "the run fails")

# Clients of the API.
ANSWERS_HOURS = Limit(24, "hours for which the answer to a request with an `Idempotency-Key` is kept", "it is deleted")
CONNECTIONS = Limit(
    2_000,
    "concurrent connections, or half of Kala's file descriptors (`LimitNOFILE=`) if that is less",
    "the connection that has been idle longest is closed; if none is idle, new connections wait",
)
ADDRESS_PERCENT = Limit(
    25,
    "percent of the connections from one remote address (one /64 network in IPv6)",
    "its longest idle connection is closed; if none is idle, its new connection is",
)
HEAD_BYTES = Limit(64 * 1024, "bytes in a request line and headers", "the response is 414 or 431")
URL_BYTES = Limit(16 * 1024, "bytes in the URL of a request", "the response is 414")
HEADER_LINES = Limit(200, "headers in a request", "the response is 431")
HEAD_SECONDS = Limit(
    10,
    "seconds without data between requests or within a body, and for a TLS handshake and the headers",
    "the connection is closed",
)
BODY_BYTES = Limit(1024 * 1024, "bytes in the body of a request", "the response is 413")
CHUNKS = Limit(10_000, "chunks in the body of a request", "the response is 400")
BODY_SECONDS = Limit(30, "seconds to receive the body of a request", "the response is 400")
RECEIVED_BYTES = Limit(
    32 * 1024 * 1024,
    "bytes in all requests that are incomplete or wait for a worker",
    "the oldest incomplete request gets 503, or is closed if its headers are incomplete",
)
ANSWER_SECONDS = Limit(
    60, "seconds to send a response, plus a second for each 8 KiB that the client has read", "the connection is reset"
)
ANSWER_RATE = Limit(8 * 1024, "bytes per second that a client must read after that time", "the connection is reset")
UNSENT_BYTES = Limit(
    32 * 1024 * 1024,
    "bytes in all responses that clients have not read yet",
    "the connection whose client has not read for the longest time is reset",
)
FOLLOWED = Limit(
    1_000,
    "concurrent streams of events and output, or a quarter of the file descriptors if that is less",
    "the response is 503",
)
KEPT_BYTES = Limit(
    16 * 1024 * 1024,
    "bytes of the list of all jobs kept in memory, and as many of the list without secrets",
    "further jobs are encoded again for each list",
)
PART_BYTES = Limit(
    512 * 1024,
    "bytes of a list, graph or stats held in memory for one client",
    "the rest is loaded once the client has read them",
)

# Who may call.
LOGINS = Limit(100, "logins of a user at the same time", "those that were used for the shortest time end")
TRIES_PER_ACCOUNT = Limit(10, "wrong passwords for a user in 15 minutes", "the response is 429")
TRIES_PER_ADDRESS = Limit(
    30,
    "wrong passwords and tokens from one address, or from one user of this machine, in 15 minutes",
    "the response is 429",
)
CHECKS = Limit(8, "passwords being checked, or waiting for it", "the response is 503")
CHECKS_PER_ADDRESS = Limit(
    4, "of these passwords from one address, or from one user of this machine", "the response is 503"
)
