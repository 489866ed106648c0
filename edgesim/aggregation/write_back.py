"""Disjoint write-back (DW of algorithms 1.6): each coordinate takes the value of whoever trained it.

    W+[c] = w_owner(c)[c], and W[c] where nobody trained it

This is how independent subnet training puts its parts together again (Yuan et al. 2022, "Distributed Learning
of Fully Connected Neural Networks using Independent Subnet Training"; algorithms 3.6). There is nothing to
average, so that neither weights nor ages of updates have a say; on disjoint parts `covered` gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import Change
from edgesim.aggregation._staleness import Constant
from edgesim.aggregation._sums import Sums
from edgesim.errors import RunFailed
from edgesim.papers import IST
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor


@component
class WriteBack(Aggregator):
    """Write each part back where it belongs: for sub-models that cannot overlap."""

    papers = (IST,)
    disjoint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.weights != "samples" or self.staleness != Constant():
            raise ValueError("each value comes from one device, whole; leave out weights and staleness")

    def merge(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Change]:
        """The change of each tensor to what its owners returned.

        Raises:
            RunFailed: two updates trained the same coordinate.
        """
        owners = Sums()
        for update in updates:
            owners.add_all(weights, update, 1.0)
        for name, count in owners.covered.items():
            if count > 1 if isinstance(count, float) else (count > 1).any():
                raise RunFailed(
                    f'aggregation: several updates trained the same coordinate of "{name}", and write_back '
                    "takes it from one; use covered, or a submodel whose parts are disjoint"
                )
        return {name: owners.change(name, 1.0) for name in owners.covered}
