"""The latest row of each key, into Redis."""
