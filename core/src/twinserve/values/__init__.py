"""Types and values: what Feast, Arrow, databases and files call the same thing, and times."""
