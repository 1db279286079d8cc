"""The threads and processes: one loop that owns every write, and the workers that run what is due."""
