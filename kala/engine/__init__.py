"""The threads and processes: one loop that owns every write, and what carries out the runs that it starts."""
