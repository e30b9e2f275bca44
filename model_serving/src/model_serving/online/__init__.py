"""Online scoring: the `/inference` service."""
