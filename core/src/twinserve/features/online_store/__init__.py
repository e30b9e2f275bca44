"""Reading the online store: plans, links to Redis and its cluster, decoding."""
