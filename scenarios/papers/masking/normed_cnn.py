"""A small network with conventional batch norms, in place of the paper's ResNet-18."""

from collections import OrderedDict

from torch import nn


def network(widths: list[int], input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Convolutions 3x3 of stride 2, each with a batch norm, and a linear classifier on the averaged maps."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = input_shape[0]
    for stage, width in enumerate(widths, start=1):
        layers[f"conv{stage}"] = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        layers[f"norm{stage}"] = nn.BatchNorm2d(width)
        layers[f"relu{stage}"] = nn.ReLU()
        channels = width
    layers |= {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return nn.Sequential(layers | {"fc": nn.Linear(channels, num_classes)})
