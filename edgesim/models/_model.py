"""What every model is: its parameters, and a way to build the network for a data set's input and classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from edgesim.errors import InputError, Problem

if TYPE_CHECKING:
    from torch import nn

    Layers = OrderedDict[str, nn.Module]


class Model(ABC):
    """An architecture with its parameters, built once the data set is known.

    Claims:
        reads_tokens: whether samples are tokens, of which there are as many as classes, or numbers; null
            where that is not known.
    """

    reads_tokens: ClassVar[bool | None] = False

    @abstractmethod
    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network, its weights drawn from torch's global generator by PyTorch's default initialisation.

        The caller seeds torch inside `torch.random.fork_rng`, so that nothing outside is disturbed.

        Args:
            input_shape: shape of one sample, without the batch.
            classes: number of outputs.

        Raises:
            InputError: the architecture cannot take such samples.
        """


def convolutions(
    input_shape: tuple[int, ...], widths: Iterable[int], padding: Callable[[int, int], int]
) -> tuple[Layers, int]:
    """Stages of a 5x5 convolution, ReLU and a 2x2 max-pool; a pool that would leave nothing is skipped.

    Args:
        input_shape: channels, height, width.
        widths: output channels of each stage.
        padding: for the number of a stage (from 0) and the shorter side of its input in pixels, the padding.

    Returns:
        The layers, and the number of features once they are flattened.

    Raises:
        InputError: the samples are no images.
    """
    from torch import nn

    if len(input_shape) != 3:
        raise InputError(
            Problem(
                f"needs images [channels, height, width], got samples of shape {input_shape}", path="model"
            )
        )
    channels, height, width = input_shape
    layers: Layers = OrderedDict()
    for stage, out in enumerate(widths):
        pad = padding(stage, min(height, width))
        layers[f"conv{stage + 1}"] = nn.Conv2d(channels, out, kernel_size=5, padding=pad)
        layers[f"relu{stage + 1}"] = nn.ReLU()
        channels, height, width = out, height + 2 * pad - 4, width + 2 * pad - 4
        if min(height, width) >= 2:
            layers[f"pool{stage + 1}"] = nn.MaxPool2d(2)
            height, width = height // 2, width // 2
    return layers, channels * height * width


def classifier(layers: Layers, features: int, hidden: Iterable[int], classes: int) -> nn.Sequential:
    """The network: these layers, then flatten, hidden linear layers with ReLU, and the output layer."""
    from torch import nn

    layers = OrderedDict(layers, flatten=nn.Flatten())
    relus = sum(isinstance(layer, nn.ReLU) for layer in layers.values())
    sizes = tuple(hidden)
    for number, size in enumerate(sizes, start=1):
        layers[f"fc{number}"] = nn.Linear(features, size)
        layers[f"relu{relus + number}"] = nn.ReLU()
        features = size
    layers[f"fc{len(sizes) + 1}"] = nn.Linear(features, classes)
    return nn.Sequential(layers)
