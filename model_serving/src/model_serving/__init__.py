"""The champion, served in batch and online."""
