"""The seven steps of a training run, in the order of `run_folder.STEPS`; each takes all that it works on."""
