"""From sample data to predictions, step by step."""
