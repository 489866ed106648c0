"""EfficientNet-B0 (Tan and Le 2019), torchvision's, with a norm for federated learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.models._images import Norm, adapted
from edgesim.models._model import Model
from edgesim.models._papers import EFFICIENTNET
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn


@component
class EfficientNetB0(Model):
    """Sixteen blocks with squeeze-and-excitation: 4 020 358 parameters on 3x32x32, 10 classes.

    Below 64 pixels the first convolution has no stride.

    Attributes:
        norm: `group`, each sample by itself, or `static_batch`, the batch, without running averages.
    """

    papers = (EFFICIENTNET,)

    norm: Norm = "group"

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network, its modules named as torchvision names them; see `Model.build`."""
        from torchvision.models import efficientnet_b0

        return adapted(efficientnet_b0, "features.0.0", self.norm, input_shape, classes)
