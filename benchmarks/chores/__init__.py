"""Work around the measured one, in processes of its own: data, references, comparisons."""
