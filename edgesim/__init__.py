"""edgesim: which sub-model method finishes a federated learning task first, and by how much time?"""

from importlib.metadata import version

__version__ = version("edgesim")
