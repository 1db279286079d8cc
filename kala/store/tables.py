"""The tables as Peewee models: what the migrations arrive at. They serve the queries whose shape varies.

Instants are whole microseconds since 1970 (see `instants`). Models are not tied to a database: a query is bound to the
connection that it runs on.
"""

from peewee import BlobField, BooleanField, IntegerField, Model, TextField


class JobRow(Model):
    """A job. `spec` is the JSON of core.Spec; what queries ask for stands beside it once more.

    `seq` is the order of creation. The index on `next_due` is the schedule: there is no other copy of it.
    """

    seq = IntegerField(primary_key=True)
    id = TextField(unique=True)
    name = TextField()
    owner = TextField()
    disabled = BooleanField()
    on_failure_job = TextField()
    is_done = BooleanField()
    created_at = IntegerField()
    next_due = IntegerField(null=True)
    slots_started = IntegerField()
    successes = IntegerField(default=0)
    errors = IntegerField(default=0)
    finished = IntegerField(default=0)
    last_success = IntegerField(null=True)
    last_error = IntegerField(null=True)
    last_attempt = IntegerField(null=True)
    spec = TextField()
    last_wall = IntegerField(null=True)
    claimed_until = IntegerField(null=True)
    next_wall = IntegerField(null=True)
    zone_rules = TextField(null=True)

    class Meta:
        table_name = "job"


class DependencyRow(Model):
    """The parents in the jobs' specs, from both ends."""

    parent_id = TextField()
    child_id = TextField()
    has_succeeded = BooleanField(default=False)

    class Meta:
        table_name = "dependency"
        primary_key = False


class PutOffRow(Model):
    """A run that succeeded, and of whose job's children not all were looked at yet: see `dependencies.PutOff`."""

    run_id = IntegerField(primary_key=True)
    job_id = TextField()
    done = IntegerField()
    last = IntegerField()

    class Meta:
        table_name = "put_off"


class RunRow(Model):
    """One attempt, and how it ended. It outlives its job."""

    id = IntegerField(primary_key=True)
    job_id = TextField()
    job_name = TextField()
    cause = TextField()
    cause_run = IntegerField(null=True)
    slot = IntegerField(null=True)
    attempt = IntegerField()
    state = TextField()
    waiting = TextField()
    not_before = IntegerField(null=True)
    pool = TextField()
    priority = IntegerField()
    queued_at = IntegerField()
    due_at = IntegerField()
    started_at = IntegerField(null=True)
    ended_at = IntegerField(null=True)
    duration = IntegerField(null=True)
    message = TextField(default="")
    exit_code = IntegerField(null=True)
    signal = IntegerField(null=True)
    http_status = IntegerField(null=True)
    output_size = IntegerField(default=0)
    output_cut = BooleanField(default=False)

    class Meta:
        table_name = "run"


class TotalsRow(Model):
    """One row with the sums over all jobs, kept by triggers, so that reading them does not grow with the jobs."""

    jobs = IntegerField()
    disabled = IntegerField()
    successes = IntegerField()
    errors = IntegerField()
    last_attempt = IntegerField(null=True)
    output_bytes = IntegerField()

    class Meta:
        table_name = "totals"
        primary_key = False


class OutputRow(Model):
    """The output of a run, where it is small; a larger one is a file."""

    run_id = IntegerField(primary_key=True)
    data = BlobField()

    class Meta:
        table_name = "output"


ALL = (JobRow, DependencyRow, PutOffRow, RunRow, TotalsRow, OutputRow)
