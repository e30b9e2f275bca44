"""Batch scoring: extract features at each row's moment, predict, publish."""
