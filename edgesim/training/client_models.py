"""The last trained sub-model of each device, and how accurate they are (FedGMR; algorithms 3.7 (6))."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation._server_optimizer import ServerSgd, apply
from edgesim.aggregation._sums import Sums
from edgesim.models._slicing import Place, scaled_as_trained
from edgesim.submodels._submodel import Mask
from edgesim.training.evaluate import Evaluator

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class ClientModel:
    """What a device has after a visit.

    Attributes:
        network: the architecture of what it holds.
        params: all of its parameters, trained or only run.
        buffers: its buffers.
        mask: the coordinates that it holds; null for all of them.
        places: where its tensors lie in the whole model's, if they are cuts of them.
        weight: c_i.
    """

    network: nn.Module
    params: Tensors
    buffers: Tensors
    mask: Mask | None
    places: Mapping[str, Place]
    weight: float

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers, zero where nothing is held."""
        return {**masked(self.params, self.mask), **self.buffers}

    @property
    def update(self) -> Update:
        """All that it has, as something to average."""
        tensors = {name: value for name, value in self.tensors.items() if value.is_floating_point()}
        statistics = frozenset(name for name in self.buffers if name in tensors)
        return Update(tensors, self.weight, places=self.places, statistics=statistics)


@dataclass
class ClientModels:
    """The last trained sub-models.

    Attributes:
        evaluator: for a network, on the samples that growth looks at.
        whole: architecture of the whole model.
    """

    evaluator: Callable[[nn.Module], Evaluator]
    whole: nn.Module
    _kept: dict[int, ClientModel] = field(default_factory=dict)
    _evaluators: WeakKeyDictionary[nn.Module, Evaluator] = field(default_factory=WeakKeyDictionary)

    def keep(self, device: int, model: ClientModel) -> None:
        """Take in what a device has trained, in the place of what it had before."""
        self._kept[device] = model

    def look(self, devices: Sequence[int], weights: Tensors) -> tuple[float, Mapping[int, float]]:
        """Accuracy of the average of all sub-models, and of those of some devices, as far as they have one.

        Args:
            devices: whose.
            weights: of the present version.
        """
        average = self._accuracy(self.whole, self.average(weights))
        chosen = [(device, self._kept[device]) for device in devices if device in self._kept]
        return average, {device: self._accuracy(model.network, model.tensors) for device, model in chosen}

    def average(self, weights: Tensors) -> dict[str, Tensor]:
        """The plain weighted average: what a device does not hold counts as 0.

        Not so statistics of norms, which average over those that have them: a variance of 0 is none.

        Args:
            weights: of the present version, for statistics that nobody has.
        """
        updates = [model.update for model in self._kept.values()]
        statistics = frozenset().union(*(update.statistics for update in updates))
        base = {
            name: value if name in statistics else torch.zeros_like(value) for name, value in weights.items()
        }
        sums, total = Sums(), 0.0
        for update in updates:
            sums.add_all(base, update, update.weight)
            total += update.weight
        changes = {
            name: sums.change(name, covered if name in statistics else total)
            for name, covered in sums.covered.items()
        }
        averaged, _ = apply(ServerSgd(), base, changes, {})
        return averaged

    def _accuracy(self, network: nn.Module, tensors: Tensors) -> float:
        if network not in self._evaluators:
            self._evaluators[network] = self.evaluator(scaled_as_trained(network))
        return self._evaluators[network](tensors)["accuracy"]


def masked(params: Tensors, mask: Mask | None) -> Tensors:
    """What a device holds of these values: zeros where it holds nothing."""
    if mask is None:
        return params
    return {**params, **{name: params[name] * held for name, held in mask.of(params).items()}}
