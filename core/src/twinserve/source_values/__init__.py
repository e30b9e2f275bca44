"""What a value becomes: one reading of every source type, for sources, labels, entity rows and batch input."""
