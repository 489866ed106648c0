"""Operators one by one: small networks that have them, as ONNX, equal PyTorch in loss and update."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
import torch
from torch import Tensor, nn

from edgesim.profiling._table import NoTranslationError
from edgesim.profiling.steps import Exported, training_step
from edgesim.profiling.subjects import Subject
from edgesim.submodels._rule import PresentClasses
from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.fiarse import FIARSE
from edgesim.submodels.fjord import FjORD
from edgesim.submodels.heterofl import HeteroFL
from edgesim.submodels.random_mask import RandomMask
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Adam, Optimizer, Sgd
from edgesim.training.step_plan import Example
from tests.profiling.steps_of import MOMENTUM, books, is_exact, operators, step_of, subject

CLASSES = 3
IMAGE = (2, 9, 10)
SIGNAL = (2, 11)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return make()


def classified(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(CLASSES))


def conv(*arguments: int, **keywords: int | tuple[int, ...] | bool | str) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, *arguments, **keywords), nn.Tanh())  # type: ignore[arg-type]


IMAGES: dict[str, Callable[[], nn.Module]] = {
    "5x5": lambda: conv(3, 5, padding=2),
    "5x5 that leaves rows over": lambda: conv(3, 5, stride=3),
    "3x3": lambda: conv(5, 3, padding=1),
    "3x3 with stride": lambda: conv(5, 3, stride=2, padding=1),
    "3x3 of many weights on a tiny map": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d((3, 2)), nn.Conv2d(2, 240, 1), nn.Conv2d(240, 250, 3, padding=1), nn.Tanh()
    ),
    "1x1 of many weights with a border": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(2),
        nn.Conv2d(2, 720, 1),
        nn.Conv2d(720, 730, 1, padding=1),
        nn.AdaptiveAvgPool2d(1),
    ),
    "3x3 dilated": lambda: conv(5, 3, dilation=2),
    "1x1 with stride": lambda: conv(3, 1, stride=2, bias=False),
    "oblong": lambda: conv(3, (3, 1), padding=(0, 2), stride=(1, 2)),
    "grouped": lambda: conv(6, 3, groups=2, stride=2),
    "depthwise": lambda: conv(4, 3, groups=4, padding=1),
    "depthwise with stride": lambda: conv(8, 5, groups=4, stride=2, padding=2),
    "max pool": lambda: nn.Sequential(conv(3, 3), nn.ReLU(), nn.MaxPool2d(2)),
    "max pool, overlapping": lambda: nn.Sequential(conv(3, 3), nn.MaxPool2d(3, stride=2, padding=1)),
    "max pool, rounded up": lambda: nn.Sequential(conv(3, 3), nn.MaxPool2d(3, stride=2, ceil_mode=True)),
    "adaptive max pool": lambda: nn.Sequential(conv(3, 3, padding=1), nn.AdaptiveMaxPool2d((3, 5))),
    "average pool": lambda: nn.Sequential(conv(3, 3), nn.AvgPool2d(2)),
    "average pool, padded": lambda: nn.Sequential(conv(3, 3), nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "adaptive average pool": lambda: nn.Sequential(conv(3, 3), nn.AdaptiveAvgPool2d((3, 2))),
    "global average pool": lambda: nn.Sequential(conv(3, 3), nn.AdaptiveAvgPool2d(1)),
    "upsampling": lambda: nn.Sequential(conv(3, 3), nn.Upsample(scale_factor=2)),
    "group norm": lambda: nn.Sequential(conv(6, 3), nn.GroupNorm(3, 6), nn.ReLU()),
    "instance norm": lambda: nn.Sequential(conv(3, 3), nn.InstanceNorm2d(3, affine=True), nn.ReLU()),
    "batch norm": lambda: nn.Sequential(conv(3, 3), nn.BatchNorm2d(3), nn.ReLU()),
    "batch norm without averages": lambda: nn.Sequential(
        conv(3, 3), nn.BatchNorm2d(3, track_running_stats=False), nn.ReLU()
    ),
    "layer norm": lambda: nn.Sequential(conv(3, 3), nn.LayerNorm((7, 8)), nn.ReLU()),
    "in place": lambda: nn.Sequential(conv(3, 3), nn.BatchNorm2d(3), nn.SiLU(inplace=True)),
    "dropout": lambda: nn.Sequential(conv(3, 3), nn.Dropout(0.3), nn.Dropout2d(0.2)),
    "dropout in place on a view": lambda: nn.Sequential(
        conv(3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3, inplace=True)
    ),
    "padding": lambda: nn.Sequential(conv(3, 3), nn.ZeroPad2d((1, 2, 0, 1))),
}

ACTIVATIONS = [
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Softsign),
    *(nn.Tanhshrink, nn.GLU, nn.PReLU, lambda: nn.Softmax(1), lambda: nn.LogSoftmax(1)),
    lambda: nn.GELU(approximate="tanh"),
]


class Signals(nn.Module):
    """Convolution and pooling over one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 6, 3, stride=2, padding=1)
        self.pool, self.norm = nn.MaxPool1d(2), nn.BatchNorm1d(6)
        self.output = nn.Linear(18, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.output(self.pool(self.norm(self.conv(x))).flatten(1))
        return y


class Texts(nn.Module):
    """An embedding with a padding token, a recurrence and attention over what it gives."""

    def __init__(self, recurrence: nn.Module) -> None:
        super().__init__()
        self.tokens = nn.Embedding(CLASSES, 4, padding_idx=0)
        self.recurrence = recurrence
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.output = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrence(self.tokens(x))
        y: Tensor = self.output(self.attention(states, states, states, need_weights=False)[0])
        return y


class Doubled(nn.Module):
    """Runs what PyTorch has and the table has not."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


def small() -> nn.Module:
    return classified(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 6), nn.ReLU()
    )


def is_right(make: Callable[[], nn.Module], shape: tuple[int, ...] = IMAGE) -> bool:
    return is_exact(subject(books(complete(make, shape), shape)))


def complete(make: Callable[[], nn.Module], shape: tuple[int, ...] = IMAGE) -> nn.Module:
    """The network with a linear layer at its end."""

    def whole() -> nn.Module:
        network = classified(make())
        with torch.no_grad():
            network.eval()(torch.zeros(2, *shape))
        return network

    return seeded(whole)


def exported(
    optimizer: Optimizer = MOMENTUM, strategy: SubmodelStrategy | None = None, capacity: float = 1.0
) -> Exported:
    ledger = books(complete(small), IMAGE, strategy, optimizer)
    step, check = step_of(subject(ledger, capacity))
    assert check.passed
    return step


@pytest.mark.parametrize("name", IMAGES)
def test_layers_of_images(name: str) -> None:
    assert is_right(IMAGES[name])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation: Callable[[], nn.Module]) -> None:
    assert is_right(lambda: nn.Sequential(nn.Flatten(), nn.Linear(180, 8), activation()))


def test_signals_of_one_dimension() -> None:
    assert is_exact(subject(books(seeded(Signals), SIGNAL)))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrence_embedding_and_attention(kind: type[nn.RNNBase]) -> None:
    network = seeded(lambda: Texts(kind(4, 3, batch_first=True, bidirectional=True)))
    assert is_exact(subject(books(network, (5,), tokens=CLASSES)))


@pytest.mark.parametrize(
    "optimizer", [Sgd(), Sgd(momentum=0.9), Sgd(weight_decay=1e-2), MOMENTUM, Adam(), Adam(weight_decay=1e-2)]
)
def test_optimisers(optimizer: Optimizer) -> None:
    assert exported(optimizer)


@pytest.mark.parametrize(
    "objective",
    [Objective(loss="bce_with_logits"), Objective(proximal=0.1), Objective(clip_norm=0.01)],
    ids=["binary cross-entropy", "proximal", "clipped"],
)
def test_objectives(objective: Objective) -> None:
    ledger = books(complete(small), IMAGE)
    assert is_exact(subject(ledger, objective=objective))


@pytest.mark.parametrize(
    ("strategy", "capacity"),
    [
        (RandomMask(scaler=True), 0.5),
        (FIARSE(), 0.25),
        (FjORD(), 0.6),
        (FjORD(distill=True), 1.0),
        (HeteroFL(), 0.5),
        (FedPMT(), 2.0),
    ],
    ids=["masks", "importance", "ordered dropout", "distillation", "widths", "depths"],
)
def test_rules_of_strategies(strategy: SubmodelStrategy, capacity: float) -> None:
    assert exported(strategy=strategy, capacity=capacity)


def test_masked_classes() -> None:
    assert isinstance(HeteroFL().rule, PresentClasses)
    assert "aux/present" in [port.name for port in exported(strategy=HeteroFL(), capacity=0.5).inputs]


def test_frozen_layers_are_run_and_have_no_backward_pass() -> None:
    step = exported(strategy=FedPMT(), capacity=1.0)
    assert [port.role for port in step.inputs].count("frozen") == 6
    assert not {"ConvTranspose", "MaxUnpool"} & set(operators(step))
    assert [port.name for port in step.outputs if port.role == "params"] == ["new/2.weight", "new/2.bias"]


def test_masks_are_inputs() -> None:
    step = exported(strategy=RandomMask(), capacity=0.5)
    masks = [port for port in step.inputs if port.role == "aux"]
    assert masks
    assert all(port.fill is not None and port.fill["kind"] == "bernoulli" for port in masks)


class Awkward(nn.Module):
    """Its parameters are called as a graph might call other things."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.x = nn.Parameter(torch.randn(180, 3)), nn.Parameter(torch.randn(3))
        self.v1, self.c0 = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))
        self.loss, self.minus_lr = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        linear = torch.addmm(self.x, x.flatten(1), self.weight)
        return linear * self.v1 + self.c0 * self.loss + self.minus_lr


def test_parameters_may_be_called_as_they_like() -> None:
    network = seeded(Awkward)
    names = {name: parameter.detach() for name, parameter in network.named_parameters()}
    example = Example(names, {}, {}, {}, torch.zeros(3, *IMAGE), torch.zeros(3, dtype=torch.int64))
    assert is_exact(Subject(network, Objective(), MOMENTUM, example, 0.1, CLASSES, None))


def test_dropout_draws_nothing_by_itself() -> None:
    step, _ = step_of(subject(books(complete(IMAGES["dropout"]), IMAGE)))
    assert [port.shape for port in step.inputs if port.role == "noise"] == [(3, 3, 7, 8), (3, 3, 1, 1)]
    assert not {"Dropout", "Bernoulli", "RandomUniform"} & set(operators(step))


def test_a_batch_norm_gives_its_new_statistics() -> None:
    step, check = step_of(subject(books(complete(IMAGES["batch norm"]), IMAGE)))
    assert check.passed
    statistics = [port.name.rpartition(".")[2] for port in step.outputs if port.role == "buffers"]
    assert statistics == ["running_mean", "running_var", "num_batches_tracked"]


def test_graphs_are_of_the_format_that_old_runtimes_read() -> None:
    model = exported().model
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("name", ["group norm", "layer norm"])
def test_norms_have_a_bias_without_which_onnxruntime_1_17_aborts(name: str) -> None:
    step = training_step(subject(books(complete(IMAGES[name]), IMAGE)))
    norms = [node for node in step.model.graph.node if node.op_type == "LayerNormalization"]
    assert norms
    assert all(len(node.input) == 3 for node in norms)


def test_graphs_hold_no_weights_and_say_the_shape_of_everything() -> None:
    graph = exported().model.graph
    assert all(onnx.numpy_helper.to_array(constant).size < 10 for constant in graph.initializer)
    known = {info.name for info in (*graph.value_info, *graph.output, *graph.input, *graph.initializer)}
    assert {name for node in graph.node for name in (*node.input, *node.output)} - {""} <= known


def test_shapes_that_are_said_are_those_that_onnx_infers() -> None:
    model = exported().model
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def test_an_operator_that_has_no_translation_is_named() -> None:
    ledger = books(complete(lambda: nn.Sequential(nn.Conv2d(2, 2, 3), Doubled())), IMAGE)
    with pytest.raises(NoTranslationError, match="special_bessel_j0"):
        training_step(subject(ledger))
