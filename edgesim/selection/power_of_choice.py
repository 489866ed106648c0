"""Power-of-choice selection (Cho, Wang, Joshi 2020): of some candidates those with the largest loss.

d - `candidates`; p_i - share of device i in all samples. The paper's variant that costs the devices nothing
(rpow-d): a device's loss is its last known one, and infinite before its first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from edgesim.papers import POWER_OF_CHOICE
from edgesim.registry import component
from edgesim.selection._selector import SelectionRule
from edgesim.server.view import View
from edgesim.yaml_source import Count


@component
class PowerOfChoice(SelectionRule):
    """`candidates` devices are drawn one after the other in proportion to their samples.

    Of these the `k` with the largest last known training loss are sent out, those without one before all
    others; equals in the order in which they were drawn.

    Attributes:
        candidates: devices drawn; at least those wanted are.
    """

    papers = (POWER_OF_CHOICE,)
    reads_loss: ClassVar[bool] = True
    depends_on_time: ClassVar[bool] = False

    candidates: Count

    def pick(self, k: int, view: View) -> Sequence[int]:  # noqa: D102
        drawn = view.draw_by_samples(max(k, self.candidates))
        known = [device for device in drawn if device in view.latest]
        losses = dict(zip(known, view.losses([view.latest[device] for device in known]), strict=True))

        def loss(device: int) -> float:
            found = losses.get(device)
            return np.inf if found is None else found

        return sorted(drawn, key=loss, reverse=True)[:k]
