"""A selection rule of one's own: from the view, which devices."""

from collections.abc import Sequence

from edgesim.registry import component
from edgesim.selection._selector import SelectionRule
from edgesim.server.view import View


@component
class RoundRobin(SelectionRule):
    """Devices in turn, those that are at work or away being passed over."""

    def pick(self, k: int, view: View) -> Sequence[int]:
        """The next `k` after as many as have been sent out so far."""
        first = view.sent % view.devices
        return view.free([*range(first, view.devices), *range(first)])[:k]
