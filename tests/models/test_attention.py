"""Attention is cut inside every head, and a module that cannot be cut is named (algorithms 1.2)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from edgesim.errors import RunFailed
from edgesim.models._attention import CutAttention
from edgesim.models._slicing import small_network
from edgesim.models._structure import read_structure
from edgesim.models._units import KeptSize
from edgesim.submodels._prefix import prefix_cut

LENGTH, WIDTH = 5, 8

# ------------------------------------------------------------------------------------- the module of ours

MODULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "length first": {"batch_first": False},
    "other widths": {"kdim": 3, "vdim": 7},
    "learned position": {"add_bias_kv": True},
    "zero position": {"add_zero_attn": True},
}


def pair(**options: Any) -> tuple[nn.MultiheadAttention, CutAttention]:
    """PyTorch's attention with two heads, and ours with all of its dimensions."""
    torch.manual_seed(0)
    own = nn.MultiheadAttention(WIDTH, 2, **({"batch_first": True} | options)).double().eval()
    for parameter in own.parameters():
        nn.init.normal_(parameter, std=0.5)
    return own, CutAttention(copy.deepcopy(own))


def inputs(batch: int, length: int, width: int, module: nn.MultiheadAttention) -> Tensor:
    sizes = (batch, length, width) if module.batch_first else (length, batch, width)
    return torch.randn(*sizes, dtype=torch.float64)


def same(module: nn.Module, other: nn.Module, *given: Tensor, **options: Any) -> None:
    for result, expected in zip(module(*given, **options), other(*given, **options), strict=True):
        assert (result is None) == (expected is None)
        if result is not None:
            torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("weights", [{}, {"need_weights": False}, {"average_attn_weights": False}], ids=str)
def test_with_all_dimensions_it_is_pytorchs(options: dict[str, Any], weights: dict[str, Any]) -> None:
    torchs, ours = pair(**options)
    query = inputs(3, LENGTH, WIDTH, torchs)
    key, value = (inputs(3, 4, width, torchs) for width in (torchs.kdim, torchs.vdim))
    same(ours, torchs, query, key, value, **weights)
    if "kdim" not in options:
        same(ours, torchs, query, query, query, **weights)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in torchs.named_parameters()]


@pytest.mark.parametrize("options", [{}, {"add_bias_kv": True, "add_zero_attn": True}], ids=str)
def test_masks_mean_what_they_mean_to_pytorch(options: dict[str, Any]) -> None:
    torchs, ours = pair(**options)
    x = inputs(3, LENGTH, WIDTH, torchs)
    causal = torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), 1)
    per_head = torch.randn(3 * 2, LENGTH, LENGTH, dtype=torch.float64)
    padding = torch.tensor([[False] * LENGTH, [False] * 3 + [True] * 2, [False] * 4 + [True]])
    same(ours, torchs, x, x, x, attn_mask=causal)
    same(ours, torchs, x, x, x, attn_mask=per_head)
    same(ours, torchs, x, x, x, key_padding_mask=padding, attn_mask=causal)


def test_a_sample_without_a_batch_is_taken_as_pytorch_takes_it() -> None:
    torchs, ours = pair()
    x = torch.randn(LENGTH, WIDTH, dtype=torch.float64)
    same(ours, torchs, x, x, x)


def test_dropped_weights_are_scaled() -> None:
    _, ours = pair(dropout=0.5)
    x = torch.randn(400, LENGTH, WIDTH, dtype=torch.float64)
    shown = ours.train()(x, x, x)[1]
    assert shown.detach().sum(-1).mean().item() == pytest.approx(1, abs=0.1)


# ----------------------------------------------------------------------------------------- in a network


class Model(nn.Module):
    """Embedding, attention and a sum around it, output."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.embed, self.attend, self.output = nn.Linear(4, WIDTH), attention, nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        attended = self.attend(x, x, x)
        return self.output((x + (attended[0] if isinstance(attended, tuple) else attended)).mean(1))  # type: ignore[no-any-return]


def test_a_unit_is_the_same_dimension_of_every_head() -> None:
    structure = read_structure(Model(nn.MultiheadAttention(WIDTH, 2, batch_first=True)), (LENGTH, 4))
    groups = structure.units.groups
    assert [(group.name, group.size) for group in groups] == [
        ("embed", WIDTH),
        ("attend.in_proj", WIDTH // 2),
    ]
    rows, columns = structure.units.places["attend.in_proj_weight"]
    assert rows.tolist() == [8, 9, 10, 11] * 6  # type: ignore[union-attr]  # q, k and v of two heads
    assert columns.tolist() == list(range(WIDTH))  # type: ignore[union-attr]
    outputs, heads = structure.units.places["attend.out_proj.weight"]
    assert (outputs.tolist(), heads.tolist()) == (list(range(WIDTH)), [8, 9, 10, 11] * 2)  # type: ignore[union-attr]
    assert structure.units.places["attend.in_proj_bias"][0].tolist() == [8, 9, 10, 11] * 6  # type: ignore[union-attr]


@pytest.mark.parametrize("rate", [0.25, 0.6])
def test_every_head_keeps_the_same_share_and_the_number_of_heads_stays(rate: float) -> None:
    structure = read_structure(Model(nn.MultiheadAttention(WIDTH, 2, batch_first=True)), (LENGTH, 4))
    cut = prefix_cut(structure.units, rate)
    attend = small_network(structure.network, structure.units, cut.kept, cut.rates).get_submodule("attend")
    assert isinstance(attend, CutAttention)
    width, dims = cut.widths
    assert (attend.num_heads, attend.embed_dim, attend.head_dim) == (2, width, dims)
    assert attend.in_proj_weight.shape == (3 * 2 * dims, width)
    assert attend.out_proj.weight.shape == (width, 2 * dims)
    assert attend.scale == (WIDTH // 2) ** -0.5  # that of the whole head


def test_projections_are_scaled_in_training_as_other_layers_are() -> None:
    structure = read_structure(Model(nn.MultiheadAttention(WIDTH, 2, batch_first=True)), (LENGTH, 4))
    cut = prefix_cut(structure.units, 0.5)
    small = small_network(structure.network, structure.units, cut.kept, cut.rates, scaler=True)
    seen = []
    for layer in ("attend.in_proj", "attend.out_proj"):
        small.get_submodule(layer).register_forward_hook(lambda *call: seen.append(call[2]))
    x = torch.randn(2, LENGTH, 4)
    embedded = small.train().embed(x)  # type: ignore[operator]
    small(x)
    weight, bias = small.attend.in_proj_weight, small.attend.in_proj_bias  # type: ignore[union-attr]
    torch.testing.assert_close(seen[0], nn.functional.linear(embedded, weight, bias) / 0.5)  # type: ignore[arg-type]
    assert len(seen) == 2


@pytest.mark.parametrize("options", [{"kdim": WIDTH, "vdim": WIDTH}, {"add_bias_kv": True}], ids=str)
def test_options_of_attention_are_cut_too(options: dict[str, Any]) -> None:
    network = Model(nn.MultiheadAttention(WIDTH, 2, batch_first=True, **options))
    structure = read_structure(network, (LENGTH, 4))
    cut = prefix_cut(structure.units, 0.5)
    small = small_network(network, structure.units, cut.kept, cut.rates)
    assert small(torch.zeros(2, LENGTH, 4)).shape == (2, 3)
    assert read_structure(small, (LENGTH, 4)).parameters < structure.parameters


def test_a_size_that_a_module_keeps_for_itself_shrinks_with_its_channels() -> None:
    """The vision transformer reshapes to `hidden_dim`; `image_size` is the same number and stays."""
    network = torchvision.models.VisionTransformer(32, 8, 1, 2, 32, 64, num_classes=3)
    structure = read_structure(network, (3, 32, 32))
    assert structure.units.sizes == (KeptSize("", "hidden_dim", 0),)
    cut = prefix_cut(structure.units, 0.25)
    small = small_network(network, structure.units, cut.kept, cut.rates)
    assert (small.hidden_dim, small.image_size, network.hidden_dim) == (8, 32, 32)
    assert small(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


# --------------------------------------------------------------------------------------- what is refused


class ByHand(nn.Module):
    """Attention of linear layers that are viewed as heads."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out, self.head_dim = nn.Linear(WIDTH, WIDTH), head_dim

    def forward(self, query: Tensor, _key: Tensor, _value: Tensor) -> Tensor:
        shape = (*query.shape[:2], 2, self.head_dim)
        q, k, v = (layer(query).view(shape).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.out(((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Own(nn.MultiheadAttention):
    """A subclass that does something else."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().forward(*args, **kwargs)


class Regroup(nn.Module):
    """Channels in pairs, whatever their number: what a pair is changes once some are cut."""

    def forward(self, x: Tensor, _key: Tensor, _value: Tensor) -> Tensor:
        return x + x.roll(1, -1)


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (ByHand(head_dim=4), r"module attend \(ByHand\) cannot run with some of its channels"),
        (Own(WIDTH, 2, batch_first=True), r"module attend \(Own\) ties channels together"),
        (Regroup(), r"the model Model regroups or mixes channels"),
    ],
    ids=["by hand", "subclass", "regroup"],
)
def test_a_module_that_cannot_be_cut_is_named(attention: nn.Module, message: str) -> None:
    with pytest.raises(RunFailed, match=message):
        read_structure(Model(attention), (LENGTH, 4)).units  # noqa: B018
