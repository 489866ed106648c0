"""Independent subnet training (Yuan et al., VLDB 2022; algorithms 3.6): a model cut into one part per device.

    S    workers: the devices of a round    the coordination's `clients_per_round`
    J    local steps of a round             `training.steps`

In every version the units of each hidden layer are shuffled and dealt to the S devices that leave together,
in groups of equal size or one more. A device holds its group of every layer and the weights between them, so
that no two devices train the same coordinate, and what comes back is written where it belongs. Of the weights
between two hidden layers a version trains the share 1/S; later ones meet other pairs of units. Nothing is
rescaled.

What belongs to no unit, as the biases of the output layer (the paper has none), is held by all, and trained
by one of them: by another one in each version.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edgesim.errors import InputError, Problem, RunFailed
from edgesim.papers import IST
from edgesim.registry import component
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Cut, Submodel, SubmodelStrategy

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure
    from edgesim.models._units import UnitLayout


@component
class Ist(SubmodelStrategy):
    """Independent subnets: one disjoint part of the model on each device of a round."""

    papers = (IST,)
    full_is_fedavg: ClassVar[bool] = False  # a device alone is given the whole model, several never are
    disjoint: ClassVar[bool] = True
    aggregation: ClassVar[str] = "write_back"

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """Nothing can be chosen: a device's part follows from how many leave with it."""
        return (1.0,)

    def fixed_capacity(self) -> float:
        """The same for all."""
        return 1.0

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The part of one worker.

        Raises:
            InputError: a hidden layer has fewer units than there are workers.
            RunFailed: the model has a tensor of which only some coordinates belong to units.
        """
        workers = context.together
        label = f"ist 1 of {workers}"
        keeper = context.place == context.version % workers
        return Submodel(
            label=label,
            capacity=1.0,
            layers=structure.all_layers,
            cut=None if workers == 1 else _part(structure.units, context),
            frozen=frozenset() if keeper else _of_no_unit(structure),
            name=f"{label}, number {context.place}",
        )


def _part(layout: UnitLayout, context: Context) -> Cut:
    """The groups of units of one worker."""
    workers = context.together
    for group in layout.groups:
        if group.size < workers:
            message = (
                f"sends {workers} devices out together, and {group.name} has only {group.size} units to deal"
                f" to them; ask for at most {group.size}"
            )
            raise InputError(Problem(message, "coordination.clients_per_round"))
    shuffled = (context.streams or Streams(0)).generator("workers", context.version)
    orders = [shuffled.permutation(group.size) for group in layout.groups]
    kept = tuple(np.sort(np.array_split(order, workers)[context.place]) for order in orders)
    return Cut(kept, (1 / workers,) * len(kept))


@lru_cache(maxsize=16)
def _of_no_unit(structure: ModelStructure) -> frozenset[str]:
    """Parameters and statistics that are the same in every part."""
    places = structure.units.places
    for name, dims in places.items():
        if all(owners is None or (owners < 0).any() for owners in dims):
            raise RunFailed(
                f"submodel ist: some coordinates of {name} belong to no unit and others do, so that the parts"
                " of the model would overlap"
            )
    names = (name for layer in structure.layers for name in (*layer.tensors, *layer.buffers))
    return frozenset(names).difference(places)
