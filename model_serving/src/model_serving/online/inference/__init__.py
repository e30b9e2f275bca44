"""Validated requests in, the best candidate of each out; no HTTP."""
