"""HTTP over sockets. Nothing in this package knows a job."""
