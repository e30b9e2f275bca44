"""What a look at the rows comes to: checks, verdicts, charts, the report."""
