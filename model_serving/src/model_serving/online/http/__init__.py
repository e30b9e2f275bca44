"""HTTP around the data plane: connections, bodies, parsing, answers and the documentation of it all."""
