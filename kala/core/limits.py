"""The limits that keep one job, one caller or one server from taking everything: the table in docs/operations.md.

A limit is a number with its meaning and with what happens where it is met. Bounds of a single field, such as the
highest priority, stand with the field.
"""

from typing import Self


class Limit(int):
    """A number that also says what it bounds and what happens where it is met."""

    what: str
    then: str

    def __new__(cls, value: int, what: str, then: str) -> Self:
        limit = super().__new__(cls, value)
        limit.what = what
        limit.then = then
        return limit


# What a request may say.
NAMES = Limit(100, "fields in a JSON object of a request", "the request is refused")
# Linux takes no longer path (PATH_MAX in limits.h, less the NUL at its end).
PATH = Limit(4_095, "bytes of a job's working_directory, and of its shell", "the job is refused")
VARIABLES = Limit(1_000, "variables in a job's env", "the job is refused")
# Linux takes no variable of 128 KiB or more (execve(2), MAX_ARG_STRLEN). To a command of another user it travels under
# a name that can be longer, and the names of all of them are one argument.
VARIABLE = Limit(131_000, "bytes of a variable in a job's env, with its name", "the job is refused")
VARIABLE_NAME = Limit(100, "characters of a variable's name", "the job is refused")
HEADERS = Limit(100, "headers of a remote job, and values of each", "the job is refused")
CODES = Limit(1_000, "exit codes or response codes in a list", "the job is refused")
_OF_A_TEMPLATE = "the job is refused; of one that an older Kala stored, each run fails"
TEMPLATE = Limit(65_536, "characters of a template", _OF_A_TEMPLATE)
TEMPLATE_TOKENS = Limit(2_000, "names, operators and texts of a template", _OF_A_TEMPLATE)
TEMPLATE_DEPTH = Limit(50, "levels of nesting in a template", _OF_A_TEMPLATE)
# Linux takes no argument of 128 KiB or more (execve(2), MAX_ARG_STRLEN).
RENDERED = Limit(131_071, "bytes of a command, URL or body that a template makes", _OF_A_TEMPLATE)

# What jobs may lead to.
PARENTS = Limit(1_000, "parents of a job", "the job is refused")
CHILDREN = Limit(10_000, "children of a job", "one more is refused")
DEPENDENCIES = Limit(200_000, "dependencies of all jobs together", "one more is refused")
DELETED = Limit(10_000, "descendants that go with a job that is deleted", "the deletion is refused; delete some first")
_OF_A_QUEUE = "a start by hand is refused; any other run is recorded as skipped, with the reason"
QUEUED_OF_JOB = Limit(1_000, "queued runs of a job", _OF_A_QUEUE)
QUEUED = Limit(100_000, "queued runs of all jobs together", _OF_A_QUEUE)
FOLLOWERS = Limit(500, "children that one step of the engine queues", "the others follow in the next steps")
REMAINS = Limit(
    2_000, "queued runs of deleted jobs that one step of the engine cancels", "the others follow in the next steps"
)
RETRIES_AT_ONCE = Limit(
    10, "attempts of a run that may follow each other at once", "at least a second lies before each further one"
)

# What runs may take and say.
MESSAGE = Limit(1_000, "characters of a run's message", "the rest is left out, and the message ends with …")
LOG_LINE = Limit(4_000, "characters of a line in the log, and of each of its fields", "the rest is left out, with …")
LOOKUPS = Limit(128, "host names that are looked up at a time", "more wait, up to the timeout of their HTTP call")
REDIRECTS = Limit(10, "redirects that an HTTP call follows", "the run fails")
RESPONSE_HEAD = Limit(65_536, "bytes of the head of an HTTP call's response", "the run fails")
RESPONSE_UNPACKED = Limit(100 << 20, "bytes to which a compressed response of an HTTP call unpacks", "the run fails")

# What callers of the API may take.
CONNECTIONS = Limit(
    2_000,
    "connections at a time, and half of the file descriptors that Kala may have (`LimitNOFILE=`)",
    "the connection that has been silent longest is closed; if none is silent, new ones wait",
)
ADDRESS_PERCENT = Limit(
    25,
    "percent of the connections for one address of another machine (one /64 network in IPv6)",
    "its connection that has been silent longest is closed; if none is silent, its new one is",
)
HEAD_BYTES = Limit(64 * 1024, "bytes of a request's first line and headers", "the answer is 414 or 431")
URL_BYTES = Limit(16 * 1024, "bytes of a request's URL", "the answer is 414")
HEADER_LINES = Limit(200, "headers of a request", "the answer is 431")
HEAD_SECONDS = Limit(
    10, "seconds of silence between requests or within a body, and for the head of a request", "the connection closes"
)
BODY_BYTES = Limit(1024 * 1024, "bytes of a request's body", "the answer is 413")
CHUNKS = Limit(10_000, "chunks of a request's body", "the answer is 400")
BODY_SECONDS = Limit(30, "seconds for the body of a request", "the answer is 400")
RECEIVED_BYTES = Limit(
    32 * 1024 * 1024,
    "bytes of requests that are incomplete or wait for a worker, together",
    "the oldest incomplete request gets 503, or is closed if its headers are incomplete",
)
ANSWER_SECONDS = Limit(
    60, "seconds for a response, and a second more for each 8 KiB that the client has read", "the connection is reset"
)
ANSWER_RATE = Limit(
    8 * 1024, "bytes a second that a client has to read of a response after that time", "the connection is reset"
)
UNSENT_BYTES = Limit(
    32 * 1024 * 1024,
    "bytes of responses that clients have not read, together",
    "the connection whose client has read nothing for longest is reset",
)
FOLLOWED = Limit(
    1_000,
    "streams of events and of output at a time, and a quarter of the file descriptors",
    "the answer is 503",
)
PART_BYTES = Limit(
    512 * 1024,
    "bytes of a list, a graph or a job's stats in memory for one client",
    "the rest is read when the client has read these",
)
