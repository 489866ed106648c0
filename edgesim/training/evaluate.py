"""Metrics of the whole model on data that no device holds."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgesim.datasets._dataset import IGNORED
from edgesim.learner import coordinate
from edgesim.training.cohorts import Samples
from edgesim.training.objective import CRITERIA, Loss

BATCH_ELEMENTS = (
    1 << 20
)  # input elements per batch: large enough to be fast, small enough for the caches and memory

COORDINATES = 64  # of the parameters that are shown: a table has a column for each

NEAREST = 5  # FedGMR's metric of next-token prediction is whether the token is among so many


@dataclass(frozen=True)
class Evaluator:
    """Evaluates weights on one set of samples.

    A batch norm without running statistics (static, HeteroFL) is recalibrated before each evaluation:
    cumulative averages over training samples that pass through the current model (algorithms 3.8).

    Attributes:
        network: the architecture.
        samples: what is evaluated on.
        loss: the criterion.
        channels_last: memory layout of image batches.
        calibration: what statistics are taken from; null where the network needs none.
        output_elements: of one sample; like those of its input, they bound a batch.
        optimum: the parameters at which the loss is least, where known.
    """

    network: nn.Module
    samples: Samples
    loss: Loss
    channels_last: bool
    calibration: Samples | None = None
    output_elements: int = 1
    optimum: Mapping[str, Tensor] | None = None

    def __call__(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        """`loss`, meaned over samples, and `accuracy`, the share of labels at which the output is largest.

        For tokens of more than five kinds also `top5_accuracy`, the share of labels among the five at which
        it is largest (FedGMR). Where the output is the loss there are no labels, and where the optimum is
        known there are `gap`, how far the loss is above the least, `distance`, the 2-norm of the parameters
        less the optimum, and the first 64 coordinates, `x0`, `x1`, and so on.
        """
        metrics = self._measured(weights)
        if self.optimum is not None:
            best = torch.cat([tensor.flatten() for tensor in self.optimum.values()])
            x = torch.cat([weights[name].flatten() for name in self.optimum])
            metrics["gap"] = metrics["loss"] - self._least
            metrics["distance"] = float(torch.linalg.vector_norm(x - best))
            metrics |= {coordinate(number): value for number, value in enumerate(x[:COORDINATES].tolist())}
        return metrics

    @cached_property
    def _least(self) -> float:
        return self._measured(self.optimum or {})["loss"]

    @torch.inference_mode()
    def _measured(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        total = torch.zeros((), dtype=torch.float64, device=self.samples.x.device)
        right: Counter[str] = Counter()
        was_training = self.network.training
        self.network.eval()
        tensors = {**weights, **self._recalibrated(weights)}
        for x, y in self._batches(self.samples):
            output = functional_call(self.network, tensors, (x,))
            total += CRITERIA[self.loss](output, y, output.new_ones(len(y)))
            if self.loss != "output":
                right.update(self._right(output, y))
        self.network.train(was_training)
        labels = int((self.samples.y != IGNORED).sum())
        return {
            "loss": float(total) / len(self.samples.y),
            **{name: hits / labels for name, hits in right.items()},
        }

    def _right(self, output: Tensor, y: Tensor) -> dict[str, int]:
        """How many labels each kind of accuracy counts as right; to be ignored is to be no class."""
        hits = {"accuracy": int((output.argmax(-1) == y).sum())}
        if not self.samples.x.is_floating_point() and output.shape[-1] > NEAREST:
            best = output.topk(NEAREST, -1).indices
            hits[f"top{NEAREST}_accuracy"] = int((best == y.unsqueeze(-1)).sum())
        return hits

    def of(self, network: nn.Module, dtype: torch.dtype) -> Evaluator:
        """The same for another architecture, such as that of a sub-model."""
        static = has_static_norms(network)
        return replace(
            self, network=tracking(network, dtype, str(self.samples.x.device)) if static else network
        )

    def _batches(self, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(samples.y)
        largest = max(samples.x[0].numel(), self.output_elements)
        batch = max(1, min(count, BATCH_ELEMENTS // largest))
        for start in range(0, count, batch):
            index = torch.arange(start, min(start + batch, count), device=samples.x.device)
            yield samples.inputs(index, channels_last=self.channels_last), samples.y[index]

    def _recalibrated(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Fresh statistics of the network's static batch norms."""
        if self.calibration is None:
            return {}
        fresh = {name: buffer.clone() for name, buffer in self.network.named_buffers() if name not in weights}
        norms = static_norms(self.network)
        for norm in norms:
            norm.train()
        for x, _ in self._batches(self.calibration):
            functional_call(self.network, {**weights, **fresh}, (x,))
        for norm in norms:
            norm.eval()
        return fresh


def without_running_statistics(network: nn.Module) -> nn.Module:
    """A copy whose batch norms keep no running statistics: they normalise by the batch (algorithms 3.8)."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return copied


def static_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Batch norms that average cumulatively, as `tracking` makes them."""
    norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    return [norm for norm in norms if norm.momentum is None]


def has_static_norms(network: nn.Module) -> bool:
    """Whether the network has batch norms without running statistics."""
    norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    return any(norm.running_mean is None for norm in norms)


def has_running_statistics(network: nn.Module) -> bool:
    """Whether the network has batch norms with running statistics."""
    norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    return any(norm.running_mean is not None for norm in norms)


def tracking(network: nn.Module, dtype: torch.dtype, device: str) -> nn.Module:
    """A copy for evaluation whose static batch norms can hold statistics."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            size = module.num_features
            module.track_running_stats = True
            module.momentum = None
            module.register_buffer("running_mean", torch.zeros(size, dtype=dtype, device=device))
            module.register_buffer("running_var", torch.ones(size, dtype=dtype, device=device))
            module.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long, device=device))
    return copied
