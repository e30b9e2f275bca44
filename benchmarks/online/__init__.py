"""What the online service gives under load, beside other ways to build it: one command, a table of ratios."""
