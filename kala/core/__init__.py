"""What a job means: pure values and decisions. No I/O, threads, clock, randomness or logging in here."""
