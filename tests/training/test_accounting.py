"""What a visit costs is known before it is trained: bytes, operations, memory (algorithms 1.3 to 1.5)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgesim.learner import Workload
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.mlp import Mlp
from edgesim.submodels._submodel import Context, SubmodelStrategy
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.full import Full
from edgesim.training.accounting import LocalWork, memory_bytes, size_of, workload
from edgesim.training.optimizer import Adam, Optimizer, Sgd

IMAGE = (1, 28, 28)
ONE_EPOCH = LocalWork(epochs=1, steps=None, batch_size=32)


@pytest.fixture(scope="module")
def m2() -> ModelStructure:
    return read_structure(FedAvgCnn().build(IMAGE, 10), IMAGE)


@pytest.fixture(scope="module")
def tiny() -> ModelStructure:
    """784 - 5 - 3: layers of 3925 and 18 parameters."""
    return read_structure(Mlp(hidden=(5,)).build(IMAGE, 3), IMAGE)


def visit(
    structure: ModelStructure,
    depth: int | None = None,
    samples: int = 50,
    work: LocalWork = ONE_EPOCH,
    optimizer: Optimizer | None = None,
) -> Workload:
    """Workload of FedPMT at a depth, of the full model without one."""
    strategy: SubmodelStrategy = Full() if depth is None else FedPMT()
    submodel = strategy.assign({}, structure, Context(0, 0, 0, 1.0 if depth is None else float(depth)))
    return workload(structure, submodel, samples, work, optimizer or Sgd(), structure)


# ----------------------------------------------------------------------------------------------- bytes


def test_fedpmt_sends_back_the_layers_that_it_trained(m2: ModelStructure) -> None:
    uplink = {depth: visit(m2, depth).bytes_up for depth in (1, 2, 3, 4)}
    assert uplink == {1: 4 * 5_130, 2: 4 * 1_611_274, 3: 4 * 1_662_538, 4: 4 * 1_663_370}
    assert visit(m2).bytes_up == 4 * 1_663_370


def test_fedpmt_receives_the_whole_model_and_a_byte_for_its_depth(m2: ModelStructure) -> None:
    assert {visit(m2, depth).bytes_down for depth in (1, 2, 3, 4)} == {4 * 1_663_370 + 1}
    assert visit(m2).bytes_down == 4 * 1_663_370


def test_statistics_of_norms_are_sent_with_their_layers_and_counters_are_not() -> None:
    layers = (
        nn.Linear(4, 3, bias=False),
        nn.BatchNorm1d(3),
        nn.Linear(3, 5),
        nn.BatchNorm1d(5),
        nn.Linear(5, 2),
    )
    structure = read_structure(nn.Sequential(*layers), (4,))
    first, second, last = 4 * 3 + 2 * 3, (3 * 5 + 5) + 2 * 5, 5 * 2 + 2
    assert visit(structure, 1).bytes_up == 4 * last
    assert visit(structure, 2).bytes_up == 4 * (last + second + 2 * 5)  # two statistics per channel
    assert visit(structure).bytes_up == visit(structure).bytes_down == 4 * (first + 6 + second + 10 + last)


def test_what_a_multicast_may_send_once_has_one_key(m2: ModelStructure) -> None:
    first, second = visit(m2, 1).parts_down, visit(m2, 2).parts_down
    assert first[0] == second[0] == visit(m2).parts_down[0]
    assert first[1].key != second[1].key


# ------------------------------------------------------------------------------------------ operations


def test_operations_are_two_per_multiply_add_and_sample(m2: ModelStructure) -> None:
    assert visit(m2, samples=50).train_flops == 2 * 36_192_256 * 50
    assert visit(m2, 3, samples=50).train_flops == 2 * 25_529_856 * 50


def test_bytes_up_and_operations_rise_with_depth_and_memory_never_falls(m2: ModelStructure) -> None:
    for optimizer in (Sgd(), Sgd(momentum=0.9), Adam()):
        costs = [visit(m2, depth, optimizer=optimizer) for depth in (1, 2, 3, 4)]
        for shallow, deep in pairwise([*costs, visit(m2, optimizer=optimizer)][:4]):
            assert shallow.bytes_up < deep.bytes_up
            assert shallow.train_flops < deep.train_flops
            assert shallow.memory_bytes <= deep.memory_bytes
            assert shallow.density < deep.density
        full = visit(m2, optimizer=optimizer)
        assert (costs[-1].train_flops, costs[-1].memory_bytes) == (full.train_flops, full.memory_bytes)


def test_fedpmt_costs_a_forward_pass_and_the_classifier_at_least(m2: ModelStructure) -> None:
    least = visit(m2, 1, samples=1)
    assert least.forward_flops == 2 * 12_273_152
    assert least.backward_flops == 2 * 5_120


def test_the_operators_of_a_step_are_its_operations_by_class(m2: ModelStructure) -> None:
    for depth in (1, 2, 3, 4):
        cost = visit(m2, depth, samples=32)  # one full step
        assert sum(operator.flops for operator in cost.operators) == cost.train_flops
    kinds = {operator.kind for operator in visit(m2, 1).operators}
    assert kinds == {"conv", "linear", "linear_weight"}
    assert len(kinds) == len(visit(m2, 1).operators)


def test_bytes_of_an_operator_are_its_operands_and_result(tiny: ModelStructure) -> None:
    forward, weight, _input = visit(tiny, samples=2).operators
    elements = 2 * (784 + 5) + 3925 + 2 * (5 + 3) + 18
    assert (forward.kind, forward.bytes) == ("linear", 4 * elements)
    assert (weight.kind, weight.bytes) == ("linear_weight", 4 * elements)
    assert (_input.kind, _input.bytes) == ("linear_input", 4 * (2 * (5 + 3) + 18))


# ---------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(("optimizer", "states"), [(Sgd(), 0), (Sgd(momentum=0.9), 1), (Adam(), 2)], ids=str)
def test_memory_is_weights_gradients_optimiser_state_and_activations(
    tiny: ModelStructure, optimizer: Optimizer, states: int
) -> None:
    transient = 4 * (784 + 5)
    weights = 4 * (3925 + 18)
    # Full: the input of each layer is kept, that of the second is the output of the ReLU.
    expected = weights + weights * (1 + states) + 8 * (4 * (784 + 5) + transient)
    assert visit(tiny, samples=8, optimizer=optimizer).memory_bytes == expected
    # Depth 1: the classifier's gradient and input alone; the transient of the first layer stays.
    expected = weights + 4 * 18 * (1 + states) + 8 * (4 * 5 + transient)
    assert visit(tiny, 1, samples=8, optimizer=optimizer).memory_bytes == expected


def test_a_device_with_fewer_samples_than_a_batch_needs_less_memory(tiny: ModelStructure) -> None:
    submodel = Full().assign({}, tiny, Context(0, 0, 0, 1.0))
    assert visit(tiny, samples=4).memory_bytes == memory_bytes(
        tiny, submodel, size_of(tiny, submodel), 4, Sgd()
    )
    assert visit(tiny, samples=99).memory_bytes == memory_bytes(
        tiny, submodel, size_of(tiny, submodel), 32, Sgd()
    )


# ----------------------------------------------------------------------------------- steps and samples


@pytest.mark.parametrize(
    ("work", "samples", "steps", "processed"),
    [
        (LocalWork(1, None, 10), 25, 3, 25),
        (LocalWork(4, None, 10), 25, 12, 100),
        (LocalWork(2, None, 10), 3, 2, 6),  # fewer samples than a batch
        (LocalWork(None, 2, 10), 25, 2, 20),
        (LocalWork(None, 3, 10), 25, 3, 25),
        (LocalWork(None, 5, 10), 25, 5, 45),  # an epoch with its short batch, then two full ones
        (LocalWork(None, 5, 10), 4, 5, 20),
    ],
)
def test_steps_and_processed_samples(work: LocalWork, samples: int, steps: int, processed: int) -> None:
    assert (work.steps_of(samples), work.processed(samples)) == (steps, processed)


@given(
    samples=st.integers(1, 60),
    batch=st.integers(1, 20),
    amount=st.integers(1, 9),
    make=st.sampled_from([lambda n, b: LocalWork(n, None, b), lambda n, b: LocalWork(None, n, b)]),
)
def test_what_is_charged_is_what_is_drawn(
    samples: int, batch: int, amount: int, make: Callable[[int, int], LocalWork]
) -> None:
    from edgesim.rng import Streams
    from edgesim.training.batches import draw_batches

    work = make(amount, batch)
    batches = draw_batches(Streams(1), 3, 4, samples, work)
    assert len(batches) == work.steps_of(samples)
    assert sum(map(len, batches)) == work.processed(samples)
    per_epoch = -(-samples // batch)
    first = [position for each in batches[:per_epoch] for position in each]
    assert len(set(first)) == len(first)
    assert len(batches) < per_epoch or sorted(first) == list(range(samples))


# ---------------------------------------------------------------------------------------------- labels


def test_density_is_the_share_of_parameters_that_is_trained(m2: ModelStructure) -> None:
    assert visit(m2).density == 1
    assert visit(m2, 2).density == 1_611_274 / 1_663_370


def test_equal_shapes_take_equal_seconds_and_other_shapes_are_others(
    m2: ModelStructure, tiny: ModelStructure
) -> None:
    base = visit(m2, 2, samples=64).shape
    more_steps = LocalWork(epochs=7, steps=None, batch_size=32)
    assert visit(m2, 2, samples=640, work=more_steps).shape == base
    assert visit(m2, 4).shape == visit(m2).shape  # full depth is the full model
    others = [
        visit(m2, 1, samples=64),
        visit(m2, 2, samples=20),  # a smaller batch
        visit(m2, 2, samples=64, optimizer=Sgd(momentum=0.9)),
        visit(m2, 2, samples=64, optimizer=Adam()),
        visit(tiny, 2, samples=64),
    ]
    assert len({base, *(other.shape for other in others)}) == 6
