"""What every model is: its parameters, and a way to build the network for a data set's input and classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from edgesim.errors import InputError, Problem
from edgesim.papers import Paper

if TYPE_CHECKING:
    from torch import nn

    Layers = OrderedDict[str, nn.Module]


class Model(ABC):
    """An architecture with its parameters, built once the data set is known.

    Claims:
        reads_tokens: whether samples are tokens, of which there are as many as classes, or numbers; null
            where that is not known.
        gives_loss: whether the output is the loss of each sample, and no prediction.
        papers: behind the architecture.
    """

    papers: ClassVar[tuple[Paper, ...]] = ()
    reads_tokens: ClassVar[bool | None] = False
    gives_loss: ClassVar[bool] = False

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


def image_shape(input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width.

    Raises:
        InputError: the samples are no images.
    """
    if len(input_shape) != 3:
        raise InputError(
            Problem(
                f"needs images [channels, height, width], got samples of shape {input_shape}"
                "; choose another model or data set",
                path="model",
            )
        )
    channels, height, width = input_shape
    return channels, height, width


def convolutions(
    input_shape: tuple[int, ...],
    plan: Iterable[int | Literal["pool"]],
    kernel: int,
    padding: Callable[[int, int], int],
    window: int = 2,
) -> tuple[Layers, int]:
    """Convolutions with ReLU, and max-pools that halve the map; a pool that would leave nothing is skipped.

    Args:
        input_shape: channels, height, width.
        plan: output channels of each convolution, and where to pool.
        kernel: side of the convolutions.
        padding: for the number of a convolution (from 0) and the shorter side of its input, in pixels.
        window: side of what a pool looks at, 2 or 3; 3 reaches over the border, as TensorFlow's `SAME` does.

    Returns:
        The layers, and the number of features once they are flattened.

    Raises:
        InputError: the samples are no images.
    """
    from torch import nn

    channels, height, width = image_shape(input_shape)
    layers: Layers = OrderedDict()
    convs = pools = 0
    for step in plan:
        if step != "pool":
            pad = padding(convs, min(height, width))
            convs += 1
            layers[f"conv{convs}"] = nn.Conv2d(channels, step, kernel, padding=pad)
            layers[f"relu{convs}"] = nn.ReLU()
            channels, height, width = step, height + 2 * pad - kernel + 1, width + 2 * pad - kernel + 1
        elif min(height, width) >= 2:
            pools += 1
            layers[f"pool{pools}"] = nn.MaxPool2d(window, stride=2, ceil_mode=window > 2)
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
