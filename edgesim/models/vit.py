"""A vision transformer (Dosovitskiy et al. 2021), torchvision's, for small images.

The defaults are those of DeiT-Ti (Touvron et al. 2021) at half the depth and with patches of 4 pixels. Layer
norm treats each position of each sample alone and needs no variant for federated learning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.errors import InputError, Problem
from edgesim.models._model import Model, image_shape
from edgesim.models._papers import DEIT, VIT
from edgesim.registry import component
from edgesim.yaml_source import Count, ProperFraction

if TYPE_CHECKING:
    from torch import nn


@component
class Vit(Model):
    """A vision transformer of patches with a class token: 2 693 578 parameters on 3x32x32, 10 classes.

    Attributes:
        patch: side of a patch, pixels.
        layers: encoder layers.
        heads: of the attention; they divide `width`.
        width: of the embedding.
        hidden: units of the layers between two attentions.
        dropout: probability.
    """

    papers = (VIT, DEIT)

    patch: Count = 4
    layers: Count = 6
    heads: Count = 3
    width: Count = 192
    hidden: Count = 768
    dropout: ProperFraction = 0.0

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network, its modules named as torchvision names them; see `Model.build`."""
        from torch import nn
        from torchvision.models import VisionTransformer

        channels, side, other = image_shape(input_shape)
        self._check(side, other)
        network: nn.Module = VisionTransformer(
            image_size=side,
            patch_size=self.patch,
            num_layers=self.layers,
            num_heads=self.heads,
            hidden_dim=self.width,
            mlp_dim=self.hidden,
            dropout=self.dropout,
            num_classes=classes,
        )
        if channels != 3:
            network.conv_proj = nn.Conv2d(channels, self.width, self.patch, stride=self.patch)
        return network

    def _check(self, height: int, width: int) -> None:
        if height != width:
            raise InputError(Problem(f"needs square images, got {height}x{width} pixels", path="model"))
        if height % self.patch:
            message = f"is {self.patch}, which does not divide the {height} pixels of the images"
            raise InputError(Problem(message, path="model.patch"))
        if self.width % self.heads:
            message = f"is {self.heads}, which does not divide the width of {self.width}"
            raise InputError(Problem(message, path="model.heads"))
