"""The sections of the table: data, contestants, and how answers are compared."""
