"""Who does the case: a module each. What is plain imports nothing of ours."""
