"""Feast's layout in Redis: names, bytes, addresses and errors."""
