"""The point-in-time join and the rest of the Feast offline store: entity rows, retrieval, pushes, logs."""
