"""Virtual time: drives a server by SimPy."""
