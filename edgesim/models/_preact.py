"""The block of a residual network with pre-activation (He et al. 2016b)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class PreactBlock(nn.Module):
    """Norm, ReLU and convolution, twice; a shortcut that changes the shape reads the rectified input.

    Args:
        channels: of the input.
        width: channels of the output.
        stride: of the first convolution.
        norm_layer: makes the norm of so many channels.
    """

    def __init__(
        self, channels: int, width: int, stride: int, norm_layer: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.norm2 = norm_layer(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        changes = stride != 1 or channels != width
        self.shortcut = nn.Conv2d(channels, width, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, height, width] to [batch, width, ceil(height / stride), ceil(width / stride)]."""
        rectified = torch.relu(self.norm1(x))
        passed = x if self.shortcut is None else self.shortcut(rectified)
        convolved: Tensor = self.conv2(torch.relu(self.norm2(self.conv1(rectified))))
        return passed + convolved
