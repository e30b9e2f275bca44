"""From the offline store to Redis: the engine, its writer, and what was written."""
