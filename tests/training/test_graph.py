"""Passes over a traced graph leave its results as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from edgesim.training import _graph
from edgesim.training.cohorts import Samples

aten = torch.ops.aten


def traced(function: Callable[..., object], *inputs: Tensor) -> fx.GraphModule:
    return make_fx(function, tracing_mode="fake")(*inputs)


def run(module: fx.GraphModule, graph: fx.Graph, *inputs: Tensor) -> list[Tensor]:
    return list(_graph.compiled(module, graph)(*inputs))


def rectified_pools(x: Tensor, weight: Tensor) -> list[Tensor]:
    """A pool whose windows overlap and are padded, behind a rectifier; its output and gradients."""
    with torch.enable_grad():
        x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
        y = functional.max_pool2d(torch.relu(x * weight), kernel_size=3, stride=2, padding=1)
        return [y.detach(), *torch.autograd.grad(y.square().sum(), [x, weight])]


@pytest.mark.parametrize("low", [-3, -1])
def test_pooling_before_the_rectifier_gives_the_same_bits(low: int) -> None:
    """Small whole numbers: many ties, windows of nothing but zeros or negative numbers."""
    x = torch.randint(low, 2, (4, 3, 9, 7), generator=torch.Generator().manual_seed(1)).float()
    weight = torch.tensor([1.0, -1.0, 0.0]).reshape(3, 1, 1)
    module = traced(rectified_pools, x, weight)
    _graph.simplify(module.graph)
    swapped = copy.deepcopy(module.graph)
    _graph.pool_before_relu(swapped)
    (relu,) = _graph.calls(swapped, aten.relu.default)
    assert _graph.shape_of(relu) == (4, 3, 5, 4)
    before, after = run(module, module.graph, x, weight), run(module, swapped, x, weight)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_rectified_map_that_somebody_else_reads_stays() -> None:
    def twice(x: Tensor) -> list[Tensor]:
        y = torch.relu(x)
        return [functional.max_pool2d(y, 2), y.sum()]

    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    module = traced(twice, x)
    _graph.pool_before_relu(module.graph)
    (relu,) = _graph.calls(module.graph, aten.relu.default)
    assert _graph.shape_of(relu) == (2, 3, 4, 4)
    pooled, total = run(module, module.graph, x)
    assert torch.equal(pooled, functional.max_pool2d(torch.relu(x), 2))
    assert total == torch.relu(x).sum()


def test_a_gradient_comes_out_as_one_product_without_transposes() -> None:
    def weight_gradient(x: Tensor, weight: Tensor) -> list[Tensor]:
        with torch.enable_grad():
            weight = weight.detach().requires_grad_()
            return [torch.autograd.grad(functional.linear(x, weight).square().sum(), weight)[0]]

    generator = torch.Generator().manual_seed(1)
    x, weight = torch.randn(5, 4, generator=generator), torch.randn(3, 4, generator=generator)
    module = traced(weight_gradient, x, weight)
    simple = copy.deepcopy(module.graph)
    _graph.simplify(simple)
    output = next(node for node in simple.nodes if node.op == "output").args[0][0]
    assert output.target is aten.mm.default
    (before,), (after,) = run(module, module.graph, x, weight), run(module, simple, x, weight)
    assert torch.allclose(before, after)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_is_seen_in_the_strides_even_of_grey_images(channels: int) -> None:
    """PyTorch takes the strides of one channel for either layout, and then convolves in the other one."""
    x = torch.randn(6, channels, 4, 5)
    index = torch.tensor([4, 1])
    taken = Samples(x, torch.zeros(6, dtype=torch.int64)).inputs(index, channels_last=True)
    assert torch.equal(taken, x[index])
    assert taken.stride() == (20 * channels, 1, 5 * channels, channels)
    weight = torch.randn(2, channels, 3, 3)
    assert functional.conv2d(taken, weight).stride(1) == 1
