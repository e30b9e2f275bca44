"""Servers that run from a wheel, for a machine that has none."""
