"""A complete Kala whose pages are tested: `api.ask("GET", "/jobs")`, `api.submit("/jobs/new", name="a job")`."""

from live_api import api, live_kala

__all__ = ("api", "live_kala")
