"""An aggregation of one's own: from the model before and the updates, what changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import Change
from edgesim.registry import component


@component
class CoordinateMedian(Aggregator):
    """Each coordinate becomes the median of those who trained it (Yin et al. 2018); a few may send nonsense.

    Every update counts alike, and of an even number the lower of the middle two is taken.
    """

    def merge(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Change]:
        """The way of each tensor to its median."""
        returned, statistics = defaultdict(list), set()
        for update in updates:
            statistics |= update.statistics
            for name in update.values:
                returned[name].append(_whole(update, name, weights[name]))
        medians = {name: torch.stack(values).nanmedian(dim=0).values for name, values in returned.items()}
        return {
            name: Change(median - weights[name], ~median.isnan(), is_statistic=name in statistics)
            for name, median in medians.items()
        }


def _whole(update: Update, name: str, before: Tensor) -> Tensor:
    """What a client returned of a tensor, in the shape of the whole; NaN where it trained nothing."""
    value = update.values[name]
    if name in update.masks:
        value = value.masked_fill(~update.masks[name], torch.nan)
    where = update.held(name, torch.arange(before.numel(), device=before.device).reshape(before.shape))
    whole = before.new_full((before.numel(),), torch.nan)
    whole[where] = value
    return whole.reshape(before.shape)
