"""The networks are the published ones, and fit whatever a data set brings."""

import subprocess
import sys

import pytest
import torch

from edgesim import registry
from edgesim.errors import InputError
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.har_cnn import HarCnn
from edgesim.models.lenet import LeNet
from edgesim.models.mlp import Mlp
from edgesim.models.resnet18 import ResNet18

SHAPES = [(1, 1, 1), (1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 40)]


def parameters_by_layer(network):
    return {name: sum(p.numel() for p in layer.parameters()) for name, layer in network.named_children()}


def trained_layers(network):
    return {name: count for name, count in parameters_by_layer(network).items() if count}


def test_the_mlp_is_the_2nn_of_fedavg():
    counts = trained_layers(Mlp().build((1, 28, 28), 10))
    assert counts == {"fc1": 784 * 200 + 200, "fc2": 200 * 200 + 200, "fc3": 200 * 10 + 10}
    assert sum(counts.values()) == 199_210


def test_the_cnn_of_fedavg_has_its_published_size():
    counts = trained_layers(FedAvgCnn().build((1, 28, 28), 10))
    assert counts == {"conv1": 832, "conv2": 51_264, "fc1": 1_606_144, "fc2": 5_130}
    assert sum(counts.values()) == 1_663_370


def test_lenet_has_its_usual_size():
    counts = trained_layers(LeNet().build((1, 28, 28), 10))
    assert counts == {"conv1": 156, "conv2": 2_416, "fc1": 48_120, "fc2": 10_164, "fc3": 850}
    assert sum(counts.values()) == 61_706


def test_lenet_sees_the_same_maps_at_28_pixels_padded_and_at_32_pixels():
    small, large = LeNet().build((1, 28, 28), 10), LeNet().build((1, 32, 32), 10)
    assert parameters_by_layer(small) == parameters_by_layer(large)
    assert (small.conv1.padding, large.conv1.padding) == ((2, 2), (0, 0))


def test_lenet_pads_where_the_map_is_smaller_than_the_kernel():
    network = LeNet().build((1, 8, 8), 10)
    assert network.conv2.padding == (2, 2)  # its map is 4x4
    assert network.fc1.in_features == 16 * 2 * 2


def test_a_pool_that_would_leave_nothing_is_skipped():
    network = FedAvgCnn().build((1, 2, 2), 10)
    assert hasattr(network, "pool1")
    assert not hasattr(network, "pool2")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("model", [Mlp(), FedAvgCnn(), LeNet(), ResNet18()], ids=registry.name_of)
def test_models_for_images_fit_whatever_a_data_set_brings(model, shape):
    network = model.build(shape, 7)
    assert network(torch.zeros(3, *shape)).shape == (3, 7)


def test_the_cnn_for_signals_has_the_size_that_it_states():
    counts = trained_layers(HarCnn().build((9, 128), 6))
    assert counts == {"conv1": 1_472, "conv2": 10_304, "fc1": 262_272, "fc2": 774}
    assert sum(counts.values()) == 274_822


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (9, 128), (3, 33)], ids=str)
def test_the_cnn_for_signals_fits_any_length(shape):
    assert HarCnn().build(shape, 6)(torch.zeros(3, *shape)).shape == (3, 6)


@pytest.mark.parametrize("norm", ["group", "static_batch"])
def test_resnet18_has_its_published_size(norm):
    # torchvision's for ImageNet has 11 689 512: 1000 classes for our 10, and a stem of 7x7 for our 3x3.
    network = ResNet18(norm=norm).build((3, 32, 32), 10)
    assert sum(p.numel() for p in network.parameters()) == 11_689_512 - 990 * 513 - 64 * 3 * (49 - 9)


def test_resnet18_keeps_no_statistics():
    for norm in ("group", "static_batch"):
        assert not list(ResNet18(norm=norm).build((3, 32, 32), 10).buffers())


def test_static_batch_norm_uses_the_statistics_of_the_batch_in_evaluation_too():
    network = ResNet18(norm="static_batch").build((1, 16, 16), 4).eval()
    images = torch.rand(4, 1, 16, 16)
    with torch.no_grad():
        assert not torch.allclose(network(images)[:2], network(images[:2]), atol=1e-3)


def test_group_norm_treats_every_sample_by_itself():
    network = ResNet18().build((1, 16, 16), 4)
    images = torch.rand(4, 1, 16, 16)
    with torch.no_grad():
        assert torch.allclose(network(images)[:2], network(images[:2]), atol=1e-5)
    groups = {module.num_groups for module in network.modules() if isinstance(module, torch.nn.GroupNorm)}
    assert groups == {2}


@pytest.mark.parametrize(("side", "final"), [(32, 4), (63, 8), (64, 2)])
def test_resnet18_takes_the_stem_of_imagenet_from_64_pixels_on(side, final):
    network = ResNet18().build((3, side, side), 10)
    assert network.conv1.kernel_size == ((7, 7) if side >= 64 else (3, 3))
    maps = []
    network.layer4.register_forward_hook(lambda *call: maps.append(call[2].shape))
    network(torch.zeros(1, 3, side, side))
    assert maps == [(1, 512, final, final)]


def test_static_batch_norm_refuses_images_that_end_in_one_pixel():
    with pytest.raises(
        InputError, match=r"model\.norm: is static_batch, but images of shape \(1, 8, 8\) end in"
    ):
        ResNet18(norm="static_batch").build((1, 8, 8), 10)
    network = ResNet18(norm="static_batch").build((1, 8, 9), 10)
    assert network(torch.rand(1, 1, 8, 9)).shape == (1, 10)


def test_an_mlp_takes_samples_of_any_shape_and_may_have_no_hidden_layer():
    network = Mlp(hidden=()).build((9, 128), 6)
    assert list(trained_layers(network)) == ["fc1"]
    assert network(torch.zeros(2, 9, 128)).shape == (2, 6)


def test_the_cnn_for_signals_refuses_images():
    with pytest.raises(
        InputError, match=r"needs signals \[channels, time\], got samples of shape \(1, 28, 28\)"
    ):
        HarCnn().build((1, 28, 28), 6)


@pytest.mark.parametrize("model", [FedAvgCnn(), LeNet(), ResNet18()])
def test_a_convolutional_model_refuses_samples_that_are_no_images(model):
    with pytest.raises(
        InputError, match=r"needs images \[channels, height, width\], got samples of shape \(561,\)"
    ):
        model.build((561,), 6)


def test_layers_have_readable_names_and_the_same_seed_gives_the_same_weights():
    def build():
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return FedAvgCnn().build((1, 8, 8), 10)

    first, second = build(), build()
    assert [name for name, _ in first.named_children()] == [
        *("conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "flatten", "fc1", "relu3", "fc2")
    ]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_naming_models_and_data_sets_imports_no_torch():
    code = (
        "import sys; from edgesim import registry\n"
        "import edgesim.models._user\n"
        "for room in ('models', 'datasets'):\n"
        "    [registry.builtin(room, name) for name in registry.names(room)]\n"
        "assert not {'torch', 'torchvision', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
