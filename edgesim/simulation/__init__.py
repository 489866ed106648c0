"""Virtual time: drives a server by SimPy."""

from edgesim.simulation.engine import Cost, Observer, Simulation

__all__ = ["Cost", "Observer", "Simulation"]
