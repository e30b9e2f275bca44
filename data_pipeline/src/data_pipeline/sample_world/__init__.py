"""A small world of drivers and orders with a known signal, to try the whole system on."""
