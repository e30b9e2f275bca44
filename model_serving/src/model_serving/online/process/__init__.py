"""The processes of the service: the supervisor, what it prepares for its workers, and how they start and stop."""
