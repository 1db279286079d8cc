"""The one loop that owns every write, and what it writes."""
