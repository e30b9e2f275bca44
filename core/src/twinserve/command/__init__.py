"""The shell of every console script: its first moment, logs, signals, errors, where the home is."""
