"""From a file of keys to a file of scores."""
