"""The structures of what devices hold, of which the most recent are kept.

All that is prepared for a sub-model hangs on its network here and goes with it: step plans, names of tensors,
evaluators. So this is the one bound on what methods make whose widths change from visit to visit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import torch
from torch import nn

from edgesim.models._slicing import scaled_network, small_network
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.submodels._submodel import Submodel

Key = tuple[object, ...]
"""What physically small networks of one model have in common if they compute the same function."""


@dataclass
class HeldStructures:
    """Structures of what devices hold of one model, each with its physically small network.

    Attributes:
        spare: how many are kept that nobody else holds, beside one for each capacity: constant widths are
            read and traced once.
    """

    spare: int = 64
    _recent: dict[Key, ModelStructure] = field(default_factory=dict)  # the last one asked for comes last
    _alive: WeakValueDictionary[Key, ModelStructure] = field(default_factory=WeakValueDictionary)

    def of(self, whole: ModelStructure, submodel: Submodel, capacities: int) -> ModelStructure:
        """The structure of a sub-model; as long as anybody holds it, always the same object.

        Args:
            whole: structure of the model.
            submodel: of it.
            capacities: how many there are.
        """
        key = _key(submodel)
        if key is None:
            return whole
        found = self._alive.get(key)
        if found is None:
            found = self._alive[key] = _read(whole, submodel)
        self._recent.pop(key, None)
        self._recent[key] = found
        if len(self._recent) > capacities + self.spare:
            del self._recent[next(iter(self._recent))]
        return found


def _key(submodel: Submodel) -> Key | None:
    """Null for what has the network of the whole model."""
    if submodel.cut is not None:
        return submodel.cut.widths, submodel.cut.rates, submodel.scaler
    if submodel.mask is not None and submodel.scaler:
        return (submodel.mask.density,)
    return None


@torch.inference_mode(mode=False)  # asked for again while merging, where other operators run
def _read(whole: ModelStructure, submodel: Submodel) -> ModelStructure:
    return read_structure(_network(whole, submodel), whole.input_shape, whole.tokens)


def _network(whole: ModelStructure, submodel: Submodel) -> nn.Module:
    cut, mask = submodel.cut, submodel.mask
    if cut is not None:
        return small_network(whole.network, whole.units, cut.kept, cut.rates, scaler=submodel.scaler)
    assert mask is not None
    return scaled_network(whole.network, [layer.name for layer in whole.layers[:-1]], mask.density)
