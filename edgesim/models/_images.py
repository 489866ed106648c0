"""What networks for images share: norms that suit federated learning, and stems that suit small images.

Running averages of batch norm do not survive the averaging of clients. `group` normalises each sample alone,
in two groups per layer (Reddi et al., Adaptive Federated Optimization, 2021); `static_batch` is HeteroFL's
static batch norm (Diao et al. 2021; algorithms 3.8), which uses the statistics of the batch and keeps none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from edgesim.errors import InputError, Problem
from edgesim.models._model import image_shape

if TYPE_CHECKING:
    from torch import nn

Norm = Literal["group", "static_batch"]

GROUPS = 2
LARGE = 64  # pixels of the shorter side from which on a network has the stem that it has for ImageNet


def norm_layer(norm: Norm) -> Callable[[int], nn.Module]:
    """What makes the norm of so many channels."""
    from torch import nn

    if norm == "group":
        return partial(nn.GroupNorm, GROUPS)
    return partial(nn.BatchNorm2d, momentum=None, track_running_stats=False)


def adapted(
    make: Callable[..., nn.Module], stem: str, norm: Norm, input_shape: tuple[int, ...], classes: int
) -> nn.Module:
    """One of torchvision's networks for these images and classes, with this norm.

    Args:
        make: torchvision's function.
        stem: path of the first convolution.
        norm: in place of batch norm with running averages.
        input_shape: shape of one sample.
        classes: number of outputs.

    Raises:
        InputError: the samples are no images, or too small for the norm.
    """
    shape = image_shape(input_shape)
    network = make(num_classes=classes, norm_layer=norm_layer(norm))
    fit_stem(network, stem, shape)
    check_statistics(network, shape)
    return network


def fit_stem(
    network: nn.Module, path: str, input_shape: tuple[int, int, int], kernel: int | None = None
) -> None:
    """Make the first convolution anew, in place, for as many channels as the images have.

    Below 64 pixels it has no stride.

    Args:
        network: one for ImageNet.
        path: of its first convolution.
        input_shape: channels, height, width.
        kernel: side of the convolution below 64 pixels, where that is not the published one's.
    """
    from torch import nn

    published: Any = network.get_submodule(path)
    channels, *sides = input_shape
    small = min(sides) < LARGE
    side = kernel if small and kernel else published.kernel_size[0]
    stride = 1 if small else published.stride[0]
    made = nn.Conv2d(channels, published.out_channels, side, stride, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    network.set_submodule(path, made)


def check_statistics(network: nn.Module, input_shape: tuple[int, ...]) -> None:
    """See that a batch of one sample has statistics in every batch norm.

    Raises:
        InputError: there are maps of one pixel.
    """
    import torch
    from torch import nn

    def check(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0][0, 0].numel() == 1:
            message = (
                f"is static_batch, but images of shape {input_shape} end in maps of one pixel, over which a "
                "batch of one sample has no statistics; use norm: group"
            )
            raise InputError(Problem(message, path="model.norm"))

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    hooks = [norm.register_forward_pre_hook(check) for norm in norms]
    with torch.no_grad():
        network.eval()(torch.zeros(1, *input_shape))
    for hook in hooks:
        hook.remove()
    network.train()
