"""Feast: definitions, point-in-time joins, online reads and materialization."""
