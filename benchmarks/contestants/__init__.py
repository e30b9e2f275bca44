"""Who does the work: a module each. What is plain imports nothing of ours."""
