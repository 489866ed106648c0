"""Metrics of the whole model on data that no device holds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgesim.training.cohorts import Samples
from edgesim.training.objective import CRITERIA, Loss

BATCH_ELEMENTS = (
    1 << 20
)  # input elements per batch: large enough to be fast, small enough for the caches and memory


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
    """

    network: nn.Module
    samples: Samples
    loss: Loss
    channels_last: bool
    calibration: Samples | None = None

    @torch.inference_mode()
    def __call__(self, weights: Mapping[str, Tensor]) -> tuple[float, float]:
        """Mean loss and accuracy, the share of samples whose largest output is at the label."""
        count = len(self.samples.y)
        total = torch.zeros((), dtype=torch.float64, device=self.samples.x.device)
        right = torch.zeros((), dtype=torch.int64, device=self.samples.x.device)
        was_training = self.network.training
        self.network.eval()
        tensors = {**weights, **self._recalibrated(weights)}
        for x, y in self._batches(self.samples):
            output = functional_call(self.network, tensors, (x,))
            weight = torch.ones_like(y, dtype=output.dtype)
            total += CRITERIA[self.loss](output, y, weight)
            right += (output.argmax(-1) == y).sum()
        self.network.train(was_training)
        return float(total) / count, int(right) / count

    def of(self, network: nn.Module, dtype: torch.dtype) -> Evaluator:
        """The same for another architecture, such as that of a sub-model."""
        static = has_static_norms(network)
        return replace(
            self, network=tracking(network, dtype, str(self.samples.x.device)) if static else network
        )

    def _batches(self, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(samples.y)
        batch = max(1, min(count, BATCH_ELEMENTS // samples.x[0].numel()))
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
