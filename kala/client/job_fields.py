"""The fields that a job's owner decides, for type checkers: the keyword arguments of create, replace and change."""

from __future__ import annotations

from typing import TypedDict


class RemoteFields(TypedDict, total=False):
    """The call of an HTTP job."""

    url: str
    method: str
    body: str
    headers: dict[str, list[str]] | None
    timeout: int
    expected_response_codes: list[int] | None


class JobFields(TypedDict, total=False):
    """A job in a request. None means "not given"; in a change, it resets a field to its default."""

    name: str | None
    description: str | None
    tags: list[str] | None
    command: str | None
    owner: str | None
    disabled: bool | None
    parent_jobs: list[str] | None
    on_failure_job: str | None
    schedule: str | None
    timezone: str | None
    jitter: str | None
    retries: int | None
    retry_on: list[int] | None
    retry_delay: str | None
    retry_backoff: float | None
    retry_max_delay: str | None
    epsilon: str | None
    timeout: str | None
    overlap: str | None
    missed: str | None
    missed_limit: int | None
    start_deadline: str | None
    parents_mode: str | None
    pool: str | None
    priority: int | None
    env: dict[str, str | None] | None
    working_directory: str | None
    shell: str | None
    umask: str | None
    user: str | None
    memory_max: int | None
    cpu_quota: int | None
    tasks_max: int | None
    keep_for: str | None
    keep_runs: int | None
    keep_bytes: int | None
    resume_at_next_scheduled_time: bool | None
    type: int | None
    remote_properties: RemoteFields | None
    TemplateDelimiters: str | None
