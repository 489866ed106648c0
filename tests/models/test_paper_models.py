"""The papers' networks have the papers' numbers of parameters (algorithms 2), and fit a data set's images."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import nn

from edgesim import registry
from edgesim.errors import InputError
from edgesim.models._images import Norm
from edgesim.models._model import Model
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.models.efficientnet_b0 import EfficientNetB0
from edgesim.models.fedavg_cifar_cnn import FedAvgCifarCnn
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.femnist_cnn import FemnistCnn
from edgesim.models.heterofl_cnn import HeteroFLCnn
from edgesim.models.ist_mlp import IstMlp
from edgesim.models.mlp import Mlp
from edgesim.models.mobilenet_v2 import MobileNetV2
from edgesim.models.mobilenet_v3 import MobileNetV3
from edgesim.models.preact_resnet18 import PreactResNet18
from edgesim.models.resnet18 import ResNet18
from edgesim.models.vgg11 import Vgg11
from edgesim.models.vit import Vit

Shape = tuple[int, ...]
MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
IMAGES = [(1, 1, 1), (1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 40)]
FOR_IMAGES = [FedAvgCifarCnn(), FemnistCnn(), Vgg11()]
WITH_NORMS: list[type[Model]] = [
    HeteroFLCnn,
    PreactResNet18,
    ResNet18,
    MobileNetV2,
    MobileNetV3,
    EfficientNetB0,
]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def prunable(structure: ModelStructure) -> int:
    """Elements of the weights that FedGMR's masks may silence (algorithms 3.7 (1))."""
    tensors = dict(structure.network.named_parameters())
    owned = [
        name
        for layer in structure.layers[:-1]
        for name in layer.tensors
        if name.rpartition(".")[0] == layer.name
    ]
    return sum(tensors[name].numel() for name in owned if tensors[name].dim() > 1)


# ------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("model", "shape", "classes", "count"),
    [
        (Mlp(hidden=(200, 200)), MNIST, 10, 199_210),  # M1
        (FedAvgCnn(), MNIST, 10, 1_663_370),  # M2
        (FedAvgCifarCnn(), (3, 24, 24), 10, 1_068_298),  # M3
        (HeteroFLCnn(), MNIST, 10, 1_556_874),  # M4
        (HeteroFLCnn(widths=(4, 8, 16, 32)), MNIST, 10, 6_594),  # its rate e
        (PreactResNet18(), CIFAR, 10, 11_172_170),  # M5
        (PreactResNet18(widths=(4, 8, 16, 32)), CIFAR, 10, 44_510),
        (FemnistCnn(), MNIST, 62, 6_603_710),  # M6
        (Vgg11(), CIFAR, 10, 9_750_922),  # M7
        (IstMlp(), (4096,), 35, 4096 * 4096 + 2 * 4096 + 4096 * 35),  # M11
        (IstMlp(hidden=(4096, 4096)), (4096,), 35, 2 * (4096**2 + 2 * 4096) + 4096 * 35),
        # torchvision's own, less 990 classes; a first convolution of another stride has as many parameters.
        (MobileNetV2(), CIFAR, 10, 3_504_872 - 990 * 1281),
        (MobileNetV3(), CIFAR, 10, 2_542_856 - 990 * 1025),
        (MobileNetV3(size="large"), CIFAR, 10, 5_483_032 - 990 * 1281),
        (EfficientNetB0(), CIFAR, 10, 5_288_548 - 990 * 1281),
        (Vit(), CIFAR, 10, 2_693_578),
    ],
    ids=lambda value: registry.name_of(value) if isinstance(value, Model) else None,
)
def test_a_network_has_its_published_number_of_parameters(
    model: Model, shape: Shape, classes: int, count: int
) -> None:
    assert parameters(model.build(shape, classes)) == count


def test_the_vision_transformer_adds_up_by_hand() -> None:
    width, hidden, positions = 192, 768, 1 + 8 * 8
    attention = 4 * width * width + 4 * width
    layer = attention + 2 * width * hidden + hidden + width + 2 * 2 * width
    patches = 3 * 4 * 4 * width + width + width + positions * width
    assert parameters(Vit().build(CIFAR, 10)) == patches + 6 * layer + 2 * width + 10 * width + 10


def test_resnet18_on_images_of_168_pixels_is_within_a_percent_of_fedgmrs_constant() -> None:
    # M8: torchvision's for ImageNet with 900 classes less. FedGMR charges a constant of 43.10 MiB.
    network = ResNet18().build((3, 168, 168), 100)
    assert parameters(network) == 11_689_512 - 900 * 513 == 11_227_812
    assert 4 * parameters(network) / 2**20 == pytest.approx(43.10, rel=0.01)


@pytest.mark.parametrize(
    ("model", "shape", "classes", "count"),
    [(FemnistCnn(), MNIST, 62, 6_474_528), (Vgg11(), CIFAR, 10, 9_742_016)],
    ids=["femnist_cnn", "vgg11"],
)
def test_the_weights_that_fedgmr_may_prune_are_counted_from_the_layers(
    model: Model, shape: Shape, classes: int, count: int
) -> None:
    assert prunable(read_structure(model.build(shape, classes), shape)) == count


def test_class_tokens_positions_and_norms_are_no_weights_of_a_layer() -> None:
    structure = read_structure(Vit(layers=1).build(CIFAR, 10), CIFAR)
    assert [layer.name for layer in structure.layers][:2] == [
        "conv_proj",
        "encoder.layers.encoder_layer_0.self_attention",
    ]
    assert prunable(structure) == 3 * 4 * 4 * 192 + 4 * 192 * 192 + 2 * 192 * 768


# ------------------------------------------------------------------------------------------- architectures


def test_the_network_of_fedavg_for_cifar_halves_its_maps_twice_as_tensorflow_does() -> None:
    network = FedAvgCifarCnn().build((3, 24, 24), 10)
    assert network.fc1.in_features == 64 * 6 * 6
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 2, 2] = 1.0  # seen by the windows 0..2 and 2..4
    assert network.pool1(corner).flatten().tolist() == [1, 1, 1, 1]
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 3, 3] = 1.0  # seen by the window 2..4, which reaches over the border
    assert network.pool1(corner).flatten().tolist() == [0, 0, 0, 1]


def test_vgg11_pools_five_times_and_leaves_one_pixel_of_32() -> None:
    network = Vgg11().build(CIFAR, 10)
    assert [name for name, _ in network.named_children() if name.startswith("pool")][-1] == "pool5"
    assert network.fc1.in_features == 512


def test_heterofls_network_does_not_pool_after_its_last_convolution() -> None:
    network = HeteroFLCnn().build(MNIST, 10)
    names = [name for name, _ in network.named_children()]
    assert names[:4] == ["conv1", "norm1", "relu1", "pool1"]
    assert names[-4:] == ["relu4", "average", "flatten", "fc"]
    assert [name for name in names if name.startswith("pool")] == ["pool1", "pool2", "pool3"]
    alike = [name for name, _ in HeteroFLCnn(widths=(4, 4, 4, 4)).build(MNIST, 10).named_children()]
    assert alike == names


def test_a_block_with_pre_activation_passes_its_input_on_as_it_is() -> None:
    network = PreactResNet18(norm="group").build(CIFAR, 10).eval()
    block, x = network.layer1[0], torch.randn(2, 64, 5, 5)
    nn.init.zeros_(block.conv2.weight)
    with torch.no_grad():
        assert torch.equal(block(x), x)
    wider = network.layer2[0]
    nn.init.zeros_(wider.conv2.weight)
    with torch.no_grad():
        assert torch.equal(wider(x), wider.shortcut(torch.relu(wider.norm1(x))))
        assert wider(x).shape == (2, 128, 3, 3)


def test_ists_network_normalises_its_outputs_and_keeps_nothing_of_it() -> None:
    network = IstMlp(hidden=(16, 8)).build((32,), 5)
    assert [name for name, _ in network.named_parameters()] == [
        *(
            "fc1.weight",
            "norm1.weight",
            "norm1.bias",
            "fc2.weight",
            "norm2.weight",
            "norm2.bias",
            "fc3.weight",
        )
    ]
    assert not list(network.buffers())
    output = network(torch.randn(64, 32)).detach()
    assert torch.allclose(output.mean(0), torch.zeros(5), atol=1e-5)
    assert torch.allclose(output.var(0, unbiased=False), torch.ones(5), atol=1e-3)


def test_ists_network_is_cut_at_its_hidden_units_alone() -> None:
    layout = read_structure(IstMlp(hidden=(16, 8)).build((32,), 5), (32,)).units
    assert [(group.name, group.size) for group in layout.groups] == [("fc1", 16), ("fc2", 8)]
    assert layout.places["norm1.bias"][0].tolist() == list(range(16))  # type: ignore[union-attr]
    assert layout.places["fc3.weight"][0] is None


# ------------------------------------------------------------------------------------- what a data set brings


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("model", FOR_IMAGES, ids=registry.name_of)
def test_they_fit_whatever_images_a_data_set_brings(model: Model, shape: Shape) -> None:
    assert model.build(shape, 7)(torch.zeros(3, *shape)).shape == (3, 7)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 40)], ids=str)
@pytest.mark.parametrize("made", WITH_NORMS)
def test_group_norm_takes_images_of_any_size(made: type[Model], shape: Shape) -> None:
    assert made(norm="group").build(shape, 7)(torch.zeros(3, *shape)).shape == (3, 7)  # type: ignore[call-arg]


@pytest.mark.parametrize("norm", ["group", "static_batch"])
@pytest.mark.parametrize("made", WITH_NORMS)
def test_no_norm_keeps_statistics(made: type[Model], norm: Norm) -> None:
    assert not list(made(norm=norm).build((1, 20, 20), 10).buffers())  # type: ignore[call-arg]


@pytest.mark.parametrize("made", WITH_NORMS)
def test_static_batch_norm_refuses_images_that_end_in_one_pixel(made: type[Model]) -> None:
    with pytest.raises(
        InputError, match=r"model\.norm: is static_batch, but images of shape \(1, 8, 8\) end in"
    ):
        made(norm="static_batch").build((1, 8, 8), 10)  # type: ignore[call-arg]


@pytest.mark.parametrize("model", [MobileNetV2(), MobileNetV3(), EfficientNetB0()], ids=registry.name_of)
@pytest.mark.parametrize(("side", "stride"), [(63, 1), (64, 2)])
def test_the_first_convolution_has_its_stride_from_64_pixels_on(
    model: Model, side: int, stride: Literal[1, 2]
) -> None:
    first = model.build((2, side, side), 10).features[0][0]
    assert (first.in_channels, first.kernel_size, first.stride) == (2, (3, 3), (stride, stride))


@pytest.mark.parametrize(
    "model",
    [*FOR_IMAGES, *(made() for made in WITH_NORMS), Vit()],
    ids=registry.name_of,
)
def test_a_network_for_images_refuses_samples_that_are_none(model: Model) -> None:
    with pytest.raises(
        InputError, match=r"model: needs images \[channels, height, width\], got samples of shape \(561,\)"
    ):
        model.build((561,), 6)


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (Vit(), (3, 32, 28), r"model: needs square images, got 32x28 pixels"),
        (Vit(), (1, 9, 9), r"model\.patch: is 4, which does not divide the 9 pixels of the images"),
        (Vit(heads=5), CIFAR, r"model\.heads: is 5, which does not divide the width of 192"),
    ],
)
def test_the_vision_transformer_says_what_does_not_fit(model: Vit, shape: Shape, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.build(shape, 10)


def test_the_vision_transformer_takes_grey_images() -> None:
    network = Vit(layers=1).build((1, 8, 8), 10)
    assert network.conv_proj.in_channels == 1
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert math.prod(network.encoder.pos_embedding.shape) == (1 + 4) * 192
