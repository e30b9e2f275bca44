"""Twinserve: one registered model, served twice, from the same features."""
