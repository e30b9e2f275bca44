"""The good rows of a read, brought together with what is stored."""
