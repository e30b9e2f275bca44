"""A model version: its files, forms and scores, and the matrix of features that it reads."""
