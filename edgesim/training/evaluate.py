"""Metrics of the whole model on data that no device holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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

    Attributes:
        network: the architecture.
        samples: what is evaluated on.
        loss: the criterion.
        channels_last: memory layout of image batches.
    """

    network: nn.Module
    samples: Samples
    loss: Loss
    channels_last: bool

    @torch.inference_mode()
    def __call__(self, weights: Mapping[str, Tensor]) -> tuple[float, float]:
        """Mean loss and accuracy, the share of samples whose largest output is at the label."""
        count = len(self.samples.y)
        batch = max(1, min(count, BATCH_ELEMENTS // self.samples.x[0].numel()))
        total = torch.zeros((), dtype=torch.float64, device=self.samples.x.device)
        right = torch.zeros((), dtype=torch.int64, device=self.samples.x.device)
        was_training = self.network.training
        self.network.eval()
        for start in range(0, count, batch):
            index = torch.arange(start, min(start + batch, count), device=self.samples.x.device)
            y = self.samples.y[index]
            x = self.samples.inputs(index, channels_last=self.channels_last)
            output = functional_call(self.network, dict(weights), (x,))
            weight = torch.ones_like(y, dtype=output.dtype)
            total += CRITERIA[self.loss](output, y, weight)
            right += (output.argmax(-1) == y).sum()
        self.network.train(was_training)
        return float(total) / count, int(right) / count
