from edgesim.registry import component
@component
class Full:
    pass
