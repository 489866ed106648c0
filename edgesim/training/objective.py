"""The local objective: one pure definition, traced for the simulation, the boards and the operator count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgesim.datasets._dataset import IGNORED
from edgesim.submodels._rule import Rule

Tensors = Mapping[str, Tensor]
Precision = Literal["float32", "bfloat16", "float64"]
Loss = Literal["cross_entropy", "bce_with_logits", "output"]

ANCHOR = "anchor/"  # aux tensors under this prefix hold the parameters that the visit started from


def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of logits [batch, classes] against labels [batch], weighted by `weight` [batch].

    Where there is a label per position, [batch, length] with logits [batch, length, classes], a sample's loss
    is the mean over its positions that are not `IGNORED`.
    """
    known = labels if labels.dim() == 1 else labels.clamp(min=0)
    chosen = torch.log_softmax(logits.to(weight.dtype), -1).gather(-1, known.unsqueeze(-1)).squeeze(-1)
    return -(_per_sample(chosen, labels) * weight).sum()


def bce_with_logits(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """One binary cross-entropy per class, meaned over classes; labels are taken as one-hot.

    Shapes as of `cross_entropy`.
    """
    logits = logits.to(weight.dtype)
    target = (labels.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)).to(weight.dtype)
    each = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (_per_sample(each.mean(-1), labels) * weight).sum()


def output(values: Tensor, labels: Tensor, weight: Tensor) -> Tensor:  # noqa: ARG001
    """The loss of each sample is what the network gives, [batch, 1] (`model: vector`)."""
    return (values.squeeze(-1) * weight).sum()


def _per_sample(values: Tensor, labels: Tensor) -> Tensor:
    """Values [batch] as they are, or the mean [batch] of those [batch, length] whose labels count."""
    if labels.dim() == 1:
        return values
    counted = (labels != IGNORED).to(values.dtype)
    return (values * counted).sum(-1) / counted.sum(-1).clamp(min=1)


CRITERIA = {"cross_entropy": cross_entropy, "bce_with_logits": bce_with_logits, "output": output}


@dataclass(frozen=True)
class Objective:
    """What one local step minimises.

    Attributes:
        rule: what the strategy changes.
        loss: name of the criterion.
        proximal: weight mu of the FedProx term mu/2 |w - w_0|^2 over the trained tensors (Li et al., 2020).
        clip_norm: largest 2-norm of a visit's whole gradient in a step; null for no clipping.
        precision: bfloat16 runs the forward pass under autocast; parameters stay in float32.
    """

    rule: Rule = field(default_factory=Rule)
    loss: Loss = "cross_entropy"
    proximal: float = 0.0
    clip_norm: float | None = None
    precision: Precision = "float32"

    def __call__(
        self,
        network: nn.Module,
        params: Tensors,
        frozen: Tensors,
        buffers: Tensors,
        x: Tensor,
        y: Tensor,
        weight: Tensor,
        aux: Tensors,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one batch and the buffers after it. Pure: what goes in is left as it was."""
        fresh = {name: buffer.clone() for name, buffer in buffers.items()}

        def forward(tensors: Tensors, inputs: Tensor) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                output: Tensor = functional_call(network, {**frozen, **tensors, **fresh}, (inputs,))
            return output

        viewed = self.rule.view(params, aux)
        loss = self.rule.loss(forward, viewed, x, y, weight, aux, CRITERIA[self.loss])
        if self.proximal:
            loss = loss + self.proximal / 2 * self._distance(params, aux)
        return loss, fresh

    def _distance(self, params: Tensors, aux: Tensors) -> Tensor:
        squares: Sequence[Tensor] = [(p - aux[ANCHOR + name]).square().sum() for name, p in params.items()]
        return torch.stack(list(squares)).sum()

    def clip(self, gradients: Sequence[Tensor], *, stacked: bool) -> list[Tensor]:
        """Gradients scaled so that their joint norm is at most `clip_norm`; per client where stacked."""
        if self.clip_norm is None:
            return list(gradients)
        start = 1 if stacked else 0
        squares = [g.square().flatten(start).sum(-1) if g.dim() > start else g.square() for g in gradients]
        norm = torch.stack(squares).sum(0).sqrt()
        factor = (self.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        return [g * factor.reshape(factor.shape + (1,) * (g.dim() - factor.dim())) for g in gradients]
