"""Scores of rows that are in memory."""
