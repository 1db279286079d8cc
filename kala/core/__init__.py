"""What a job means: pure values and decisions, without I/O, threads, clock, randomness or logging."""
