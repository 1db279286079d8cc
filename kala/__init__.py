"""Kala, a job scheduler service that a team can trust with its cron jobs."""

__version__ = "0.1.0"
