"""HTTP over sockets. It knows nothing of jobs."""
