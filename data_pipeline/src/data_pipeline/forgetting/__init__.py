"""A person's right to be forgotten: the rows of one entity key, removed wherever this project has put them."""
