from edgesim.registry import component
from edgesim.yaml_source import Count
@component
class FedPMT:
    depth: Count | None = None
