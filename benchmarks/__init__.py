"""What the work costs here and elsewhere: one command, a table of ratios against named baselines."""
