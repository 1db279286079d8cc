"""The schema, as numbered migrations: forward only, each in one transaction.

A released migration never changes; add a new one instead. The database's `user_version` is the number of the last
migration that was applied. Together they, one of which is in access_schema.py, are the only description of the
schema: what a database has now is printed by `sqlite3 kala.db .schema`. Instants are whole microseconds since 1970 (see
`instants`).
"""

from peewee import SqliteDatabase

from kala.core.errors import Conflict
from kala.store.access_schema import ACCESS

_FIRST = (
    # `spec` is a core.Spec in JSON; the columns that queries use repeat parts of it. `seq` is the order of creation.
    # The index on `next_due` is the schedule: there is no other copy of it.
    """
    CREATE TABLE job (
        seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        owner TEXT NOT NULL,
        disabled INTEGER NOT NULL,
        on_failure_job TEXT NOT NULL,
        is_done INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        next_due INTEGER,
        slots_started INTEGER NOT NULL,
        successes INTEGER NOT NULL DEFAULT 0,
        errors INTEGER NOT NULL DEFAULT 0,
        finished INTEGER NOT NULL DEFAULT 0,
        last_success INTEGER,
        last_error INTEGER,
        last_attempt INTEGER,
        spec TEXT NOT NULL
    )
    """,
    "CREATE INDEX job_due ON job (next_due, seq) WHERE disabled = 0 AND next_due IS NOT NULL",
    "CREATE INDEX job_on_failure ON job (on_failure_job) WHERE on_failure_job != ''",
    "CREATE INDEX job_name ON job (name)",
    # The parents in the jobs' specs, indexed from both ends.
    """
    CREATE TABLE dependency (
        parent_id TEXT NOT NULL,
        child_id TEXT NOT NULL,
        has_succeeded INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (parent_id, child_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX dependency_child ON dependency (child_id)",
    # One attempt, and how it ended. A run outlives its job.
    """
    CREATE TABLE run (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL,
        job_name TEXT NOT NULL,
        cause TEXT NOT NULL,
        cause_run INTEGER,
        slot INTEGER,
        attempt INTEGER NOT NULL,
        state TEXT NOT NULL,
        waiting TEXT NOT NULL,
        not_before INTEGER,
        pool TEXT NOT NULL,
        priority INTEGER NOT NULL,
        queued_at INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        duration INTEGER,
        message TEXT NOT NULL DEFAULT '',
        exit_code INTEGER,
        signal INTEGER,
        http_status INTEGER,
        output_size INTEGER NOT NULL DEFAULT 0,
        output_cut INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX run_job ON run (job_id, id)",
    "CREATE INDEX run_running ON run (job_id) WHERE state = 'running'",
    "CREATE INDEX run_queued ON run (job_id, id) WHERE state = 'queued'",
    "CREATE INDEX run_ready ON run (priority DESC, id) WHERE state = 'queued' AND waiting = ''",
    "CREATE INDEX run_retry ON run (not_before) WHERE state = 'queued' AND waiting = 'retry'",
    "CREATE INDEX run_pool ON run (pool, priority DESC, id) WHERE state = 'queued' AND waiting = 'pool'",
    "CREATE INDEX run_time ON run (queued_at)",
    "CREATE INDEX run_state ON run (state, id) WHERE state NOT IN ('queued', 'running', 'succeeded')",
    "CREATE INDEX run_cause ON run (cause, id) WHERE cause != 'schedule'",
    "CREATE INDEX run_output ON run (id) WHERE output_size > 0",
    # Small outputs of runs; large ones are files.
    "CREATE TABLE output (run_id INTEGER NOT NULL PRIMARY KEY, data BLOB NOT NULL)",
    # A single row with the sums over all jobs, kept by triggers, so that reading them does not grow with the jobs.
    """
    CREATE TABLE totals (
        jobs INTEGER NOT NULL,
        disabled INTEGER NOT NULL,
        successes INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        last_attempt INTEGER,
        output_bytes INTEGER NOT NULL
    )
    """,
    "INSERT INTO totals VALUES (0, 0, 0, 0, NULL, 0)",
    """
    CREATE TRIGGER totals_output AFTER UPDATE OF output_size ON run WHEN NEW.output_size != OLD.output_size BEGIN
        UPDATE totals SET output_bytes = output_bytes + NEW.output_size - OLD.output_size;
    END
    """,
    """
    CREATE TRIGGER totals_run AFTER DELETE ON run WHEN OLD.output_size > 0 BEGIN
        UPDATE totals SET output_bytes = output_bytes - OLD.output_size;
    END
    """,
    """
    CREATE TRIGGER totals_insert AFTER INSERT ON job BEGIN
        UPDATE totals SET jobs = jobs + 1, disabled = disabled + NEW.disabled;
    END
    """,
    """
    CREATE TRIGGER totals_delete AFTER DELETE ON job BEGIN
        UPDATE totals SET jobs = jobs - 1, disabled = disabled - OLD.disabled,
            successes = successes - OLD.successes, errors = errors - OLD.errors;
    END
    """,
    """
    CREATE TRIGGER totals_disabled AFTER UPDATE OF disabled ON job WHEN NEW.disabled != OLD.disabled BEGIN
        UPDATE totals SET disabled = disabled + NEW.disabled - OLD.disabled;
    END
    """,
    """
    CREATE TRIGGER totals_counts AFTER UPDATE OF successes, errors ON job BEGIN
        UPDATE totals SET successes = successes + NEW.successes - OLD.successes,
            errors = errors + NEW.errors - OLD.errors;
    END
    """,
    """
    CREATE TRIGGER totals_attempt AFTER UPDATE OF last_attempt ON job BEGIN
        UPDATE totals SET last_attempt = max(coalesce(last_attempt, NEW.last_attempt), NEW.last_attempt);
    END
    """,
)

_CHILDREN_IN_MIGRATIONS = (
    # The runs of which some children are still to be started: see `dependencies.PutOff`.
    """
    CREATE TABLE put_off (
        run_id INTEGER NOT NULL PRIMARY KEY,
        job_id TEXT NOT NULL,
        done INTEGER NOT NULL,
        last INTEGER NOT NULL
    )
    """,
)

_TWO_QUEUES = (
    "DROP INDEX run_ready",
    """
    CREATE INDEX run_ready ON run (priority DESC, id)
        WHERE state = 'queued' AND waiting = '' AND cause NOT IN ('parent', 'failure')
    """,
    """
    CREATE INDEX run_ready_led_to ON run (priority DESC, id)
        WHERE state = 'queued' AND waiting = '' AND cause IN ('parent', 'failure')
    """,
)

_BY_END = (
    "DROP INDEX run_time",
    "CREATE INDEX run_ended ON run (ended_at) WHERE ended_at IS NOT NULL",
)

_LATEST_SUCCESSES = ("CREATE INDEX dependency_succeeded ON dependency (parent_id) WHERE has_succeeded = 1",)

_RETRIED = ("CREATE INDEX run_retried ON run (cause_run) WHERE cause = 'retry'",)

# What a plan was computed from. No zone has the rules '', so the next start plans all older jobs again.
_PLANS = (
    "ALTER TABLE job ADD COLUMN last_wall INTEGER",
    "ALTER TABLE job ADD COLUMN claimed_until INTEGER",
    "ALTER TABLE job ADD COLUMN next_wall INTEGER",
    "ALTER TABLE job ADD COLUMN zone_rules TEXT",
    """
    UPDATE job SET zone_rules = '', claimed_until = coalesce(last_attempt, created_at) WHERE next_due IS NOT NULL
    """,
    "CREATE INDEX job_zone ON job (zone_rules) WHERE zone_rules IS NOT NULL",
    "CREATE INDEX job_claimed ON job (claimed_until) WHERE claimed_until IS NOT NULL",
)

# The tags in the jobs' specs; no job had any before.
_TAGS = (
    """
    CREATE TABLE job_tag (
        tag TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (tag, seq)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX job_tag_seq ON job_tag (seq)",
)

# By what runs are searched; and for each minute and state how many runs ended, and between which ids these are.
_RUN_SEARCH = (
    "CREATE INDEX run_caused ON run (cause_run) WHERE cause_run IS NOT NULL",
    "CREATE INDEX run_in_pool ON run (pool, id) WHERE pool != ''",
    "CREATE INDEX job_owner ON job (owner, id)",
    "CREATE INDEX run_long ON run (duration) WHERE duration >= 1000000000",
    """
    CREATE TABLE ended (
        minute INTEGER NOT NULL,
        state TEXT NOT NULL,
        runs INTEGER NOT NULL,
        first_run INTEGER NOT NULL,
        last_run INTEGER NOT NULL,
        PRIMARY KEY (minute, state)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO ended SELECT ended_at / 60000000, state, count(*), min(id), max(id)
        FROM run WHERE ended_at IS NOT NULL GROUP BY 1, 2
    """,
    """
    CREATE TRIGGER ended_update AFTER UPDATE OF ended_at ON run WHEN OLD.ended_at IS NULL BEGIN
        INSERT INTO ended VALUES (NEW.ended_at / 60000000, NEW.state, 1, NEW.id, NEW.id)
            ON CONFLICT (minute, state) DO UPDATE SET runs = runs + 1,
                first_run = min(first_run, NEW.id), last_run = max(last_run, NEW.id);
    END
    """,
    """
    CREATE TRIGGER ended_insert AFTER INSERT ON run WHEN NEW.ended_at IS NOT NULL BEGIN
        INSERT INTO ended VALUES (NEW.ended_at / 60000000, NEW.state, 1, NEW.id, NEW.id)
            ON CONFLICT (minute, state) DO UPDATE SET runs = runs + 1,
                first_run = min(first_run, NEW.id), last_run = max(last_run, NEW.id);
    END
    """,
    # The answers to requests with an Idempotency-Key: see `answers.Answer`.
    """
    CREATE TABLE answer (
        key TEXT NOT NULL PRIMARY KEY,
        request TEXT NOT NULL,
        status INTEGER NOT NULL,
        headers TEXT NOT NULL,
        body BLOB NOT NULL,
        given_at INTEGER NOT NULL
    )
    """,
    "CREATE INDEX answer_age ON answer (given_at)",
)

# The queued runs that wait until their job is enabled, to be counted.
_HELD = ("CREATE INDEX run_held ON run (id) WHERE state = 'queued' AND waiting = 'disabled'",)

# What lists of jobs show: how a job's latest run ended (`recent` has a letter for each of the newest, see `jobs`), and
# the number of the transaction that last changed a job. `starts` counts how often the database was opened for writing.
_LATEST_ENDS = (
    "ALTER TABLE job ADD COLUMN last_run INTEGER",
    "ALTER TABLE job ADD COLUMN last_state TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN last_end INTEGER",
    "ALTER TABLE job ADD COLUMN last_duration INTEGER",
    "ALTER TABLE job ADD COLUMN recent TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN rev INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE totals ADD COLUMN starts INTEGER NOT NULL DEFAULT 0",
    """
    UPDATE job SET recent = coalesce((
        SELECT group_concat(letter, '') FROM (
            SELECT CASE state WHEN 'succeeded' THEN 's' WHEN 'failed' THEN 'f' WHEN 'timed_out' THEN 't'
                WHEN 'cancelled' THEN 'c' ELSE 'l' END AS letter
            FROM run INDEXED BY run_job WHERE job_id = job.id AND started_at IS NOT NULL AND state != 'running'
                AND NOT EXISTS (SELECT 1 FROM run AS retry INDEXED BY run_retried
                    WHERE retry.cause = 'retry' AND retry.cause_run = run.id
                        AND (retry.started_at IS NOT NULL OR retry.state = 'queued'))
            ORDER BY id DESC LIMIT 20)), '')
    """,
    """
    UPDATE job SET (last_run, last_state, last_end, last_duration) = (
        SELECT id, state, ended_at, duration FROM run INDEXED BY run_job
        WHERE job_id = job.id AND started_at IS NOT NULL AND state != 'running'
            AND NOT EXISTS (SELECT 1 FROM run AS retry INDEXED BY run_retried
                WHERE retry.cause = 'retry' AND retry.cause_run = run.id
                    AND (retry.started_at IS NOT NULL OR retry.state = 'queued'))
        ORDER BY id DESC LIMIT 1)
    WHERE recent != ''
    """,
    # For filters and sorting. A run that succeeds, as the one before, changes none of these indexes.
    "CREATE INDEX job_lower_name ON job (lower(name))",
    "CREATE INDEX job_not_ok ON job (last_state) WHERE last_state != 'succeeded'",
    "CREATE INDEX job_errors ON job (errors) WHERE errors > 0",
    "CREATE INDEX job_disabled ON job (seq) WHERE disabled = 1",
    "CREATE INDEX job_done ON job (seq) WHERE is_done = 1",
    "CREATE INDEX run_skipped ON run (ended_at) WHERE state = 'skipped'",
)

_TIME = (
    # The slot that is due at next_due, where jitter puts it off.
    "ALTER TABLE job ADD COLUMN next_slot INTEGER",
    # One row with the boot that Kala last ran in: see random(4), boot_id.
    "CREATE TABLE boot (id TEXT NOT NULL)",
    "INSERT INTO boot VALUES ('')",
)

# For a NOT IN of three values, SQLite makes a temporary table in each statement that writes runs: 10 % of a step.
_RARE_STATES = (
    "DROP INDEX run_state",
    """
    CREATE INDEX run_state ON run (state, id)
        WHERE state != 'queued' AND state != 'running' AND state != 'succeeded'
    """,
)

# The jobs' names as they are searched; store.py defines folded().
_FOLDED_NAMES = (
    "ALTER TABLE job ADD COLUMN folded_name TEXT NOT NULL DEFAULT ''",
    "UPDATE job SET folded_name = folded(name)",
    "CREATE INDEX job_folded_name ON job (folded_name)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _FIRST,
    _CHILDREN_IN_MIGRATIONS,
    _TWO_QUEUES,
    _BY_END,
    _LATEST_SUCCESSES,
    _RETRIED,
    _PLANS,
    _TAGS,
    _RUN_SEARCH,
    _HELD,
    _LATEST_ENDS,
    _TIME,
    _RARE_STATES,
    _FOLDED_NAMES,
    ACCESS,
)


def migrate(database: SqliteDatabase) -> None:
    """Apply the migrations that the database lacks. Raises Conflict if a newer Kala has written the database."""
    done = database.pragma("user_version")
    if done > len(MIGRATIONS):
        raise Conflict(
            f"data_dir: {database.database} was written by a newer version of Kala (schema {done}; this version"
            f" supports {len(MIGRATIONS)}); install that version again, or restore a backup made before the upgrade"
        )
    database.pragma("user_version", done)  # so that a read-only database fails here, not at the first job
    for number, statements in enumerate(MIGRATIONS[done:], start=done + 1):
        with database.atomic():
            for statement in statements:
                database.execute_sql(statement)
            database.pragma("user_version", number)
