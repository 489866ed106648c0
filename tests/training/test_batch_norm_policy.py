"""What becomes of running statistics of batch norms, by method (3.8, pitfall 4), and metrics by sub-model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from edgesim import registry
from edgesim.document import open_document
from edgesim.errors import InputError
from edgesim.experiment import execute, federation
from edgesim.models._slicing import small_network
from edgesim.parts import Parts, prepare
from edgesim.retiming import time_dependence
from edgesim.scenario import resolve
from edgesim.submodels._prefix import prefix_cut
from edgesim.training.federation import Federation
from tests.scenarios import SMALL_NORMS
from tests.training.federations import order, run_round, same_bits

SCENARIO = """\
name: norms
model: small_norms:network
dataset: digits
fleet: [{profile: raspberry-pi-4, count: 4}]
submodel: SUBMODEL
aggregation: {name: covered, weights: equal}
coordination: {name: synchronous, clients_per_round: 4}
training: {batch_size: 50}
evaluate: {submodels: true, recalibrate: 300}
stop: {rounds: 2}
execution: {precision: float64}
"""
BARE = "{name: heterofl, scaler: false, masked_classes: false, width: WIDTH}"
MEAN = "1.running_mean"
RUNNING_ASKED = "training.batch_norm=running"
RUNNING = {MEAN, "1.running_var", "1.num_batches_tracked"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("norms")
    (made / "small_norms.py").write_text(SMALL_NORMS)
    return made


def parts_of(folder: Path, submodel: str, *overrides: str) -> Parts:
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO.replace("SUBMODEL", submodel))
    return prepare(resolve(open_document(str(path)), overrides=overrides))


def heterofl(width: float) -> str:
    return BARE.replace("WIDTH", str(width))


def trained(parts: Parts) -> Federation:
    learner = federation(parts)
    run_round(learner, 0, range(4))
    return learner


@pytest.mark.parametrize("name", registry.names("submodels"))
def test_methods_that_cut_or_mask_never_merge_running_statistics(name: str) -> None:
    whole_networks = {"full", "fedpmt"}
    policy = registry.builtin("submodels", name).batch_norm
    assert policy == ("running" if name in whole_networks else "recalibrated")


def one_round(parts: Parts) -> tuple[Tensor, list[Tensor]]:
    """The running means of the new version, and those that each of the four devices returned for it."""
    learner = federation(parts)
    assert set(learner.weights) >= RUNNING
    learner.assign([order(device, device) for device in range(4)])
    jobs = [learner._job(learner.ledger.open[device]) for device in range(4)]
    returned = [result.buffers[MEAN].clone() for result in learner.trainer.train(jobs)]
    learner.aggregate(range(4), [0] * 4, 0.0)
    return learner.weights[MEAN], returned


def test_where_all_train_the_whole_network_running_statistics_are_averaged(folder: Path) -> None:
    merged, returned = one_round(parts_of(folder, "full"))
    torch.testing.assert_close(merged, torch.stack(returned).mean(0))
    assert merged.abs().min() > 0  # they begin at 0


def test_where_widths_differ_there_are_none_to_merge_to_send_or_to_save(folder: Path) -> None:
    parts, whole = parts_of(folder, heterofl(1.0)), parts_of(folder, "full")
    learner = trained(parts)
    assert not RUNNING & set(learner.weights)
    one, other = (each.ledger.workload_of(each.ledger.expected(1.0), 50) for each in (parts, whole))
    assert other.bytes_up - one.bytes_up == other.bytes_down - one.bytes_down == 4 * 12


@pytest.mark.parametrize("submodel", ["{name: random_mask, density: 0.5}", heterofl(1.0)])
def test_a_scenario_may_have_them_averaged_all_the_same(folder: Path, submodel: str) -> None:
    merged, returned = one_round(parts_of(folder, submodel, RUNNING_ASKED))
    torch.testing.assert_close(merged, torch.stack(returned).mean(0))


def test_or_have_whole_networks_recalibrated(folder: Path) -> None:
    learner = trained(parts_of(folder, "full", "training.batch_norm=recalibrated"))
    assert not RUNNING & set(learner.weights)
    loss, accuracy = by_hand(learner, shown(learner, 1.0))
    metrics = learner.evaluate()
    assert (metrics["loss"], metrics["accuracy"]) == (pytest.approx(loss, rel=1e-9), pytest.approx(accuracy))


@pytest.mark.parametrize("model", ["ist_mlp", "mlp"])
def test_a_model_that_keeps_none_cannot_have_them_averaged(folder: Path, model: str) -> None:
    with pytest.raises(InputError, match=r"training.batch_norm: is running, and the model has no batch norm"):
        parts_of(folder, "full", RUNNING_ASKED, f"model={model}")


@pytest.mark.parametrize("name", registry.names("submodels"))
def test_every_method_runs_with_averaged_statistics(folder: Path, name: str) -> None:
    method = {"fedpmt": "{name: fedpmt, depth: 2}", "feddrop": "{name: feddrop, drop_conv: true}"}.get(
        name, name
    )
    learner = trained(parts_of(folder, method, RUNNING_ASKED, "dataset.validation=0.1"))
    assert set(learner.weights) >= RUNNING
    assert float(learner.weights["1.running_var"].min()) > 0
    assert learner.weights[MEAN].abs().max() > 0


def test_training_normalises_by_the_batch_under_either_policy(folder: Path) -> None:
    cut, whole = (trained(parts_of(folder, submodel)).weights for submodel in (heterofl(1.0), "full"))
    assert same_bits(dict(cut), {name: value for name, value in whole.items() if name not in RUNNING})


@torch.no_grad()
def by_hand(learner: Federation, network: nn.Module) -> tuple[float, float]:
    """Loss and accuracy with statistics that are taken from the calibration samples in one go."""
    evaluator = learner.evaluators[""]
    assert evaluator.calibration is not None
    norm = network[1]
    network[1] = nn.BatchNorm2d(norm.num_features, momentum=None).double()
    network[1].load_state_dict(norm.state_dict(), strict=False)
    network.train()
    network(evaluator.calibration.x)
    network.eval()
    output = network(evaluator.samples.x)
    right = (output.argmax(1) == evaluator.samples.y).double().mean()
    return float(cross_entropy(output, evaluator.samples.y)), float(right)


def shown(learner: Federation, width: float) -> nn.Module:
    """The present model, cut to a width."""
    structure = learner.ledger.structure
    cut = prefix_cut(structure.units, width)
    whole = small_network(structure.network, structure.units, prefix_cut(structure.units, 1.0).kept, ())
    whole.double().load_state_dict(learner.weights)
    return small_network(whole, structure.units, cut.kept, cut.rates)


def test_evaluation_takes_fresh_statistics_at_the_whole_width_and_at_each_smaller_one(folder: Path) -> None:
    learner = trained(parts_of(folder, heterofl(0.5)))
    metrics = learner.evaluate()
    assert len(learner.evaluators[""].calibration.y) == 300
    for suffix, width in (("", 1.0), ("_at_0.5", 0.5), ("_at_0.0625", 0.0625)):
        loss, accuracy = by_hand(learner, shown(learner, width))
        assert metrics[f"loss{suffix}"] == pytest.approx(loss, rel=1e-9)
        assert metrics[f"accuracy{suffix}"] == pytest.approx(accuracy)
    assert "accuracy_at_1" not in metrics  # which is `accuracy`


def test_a_masked_sub_model_is_evaluated_with_its_zeros(folder: Path) -> None:
    learner = trained(parts_of(folder, "{name: fiarse, density: 1.0}"))
    metrics = learner.evaluate()
    mask = learner.ledger.shown(0.25, 1, learner.weights).mask
    assert mask is not None
    masked: dict[str, Tensor] = {
        name: value * torch.from_numpy(mask.tensors[name]) if name in mask.tensors else value
        for name, value in learner.weights.items()
    }
    found = learner.evaluators[""](masked)
    assert found == {name: metrics[f"{name}_at_0.25"] for name in ("loss", "accuracy")}
    assert "accuracy_at_1" not in metrics


def test_looking_at_sub_models_does_not_change_what_is_trained(folder: Path) -> None:
    parts = parts_of(folder, "{name: fiarse, density: 0.5}")
    one, other = federation(parts), federation(parts)
    for version in range(2):
        one.evaluate()
        for learner in (one, other):
            run_round(learner, version, range(4))
    assert same_bits(one.weights, other.weights)


def test_the_evaluations_table_has_a_column_for_each_sub_model_that_is_smaller(folder: Path) -> None:
    fjord, fedpmt = (
        set(execute(parts_of(folder, submodel)).tables["evaluations"])
        for submodel in ("{name: fjord, levels: [0.5, 1.0], width: 0.5}", "{name: fedpmt, depth: 1}")
    )
    assert fedpmt == {"time_s", "version", "loss", "accuracy"}  # each depth runs the whole network
    assert fjord - fedpmt == {"loss_at_0.5", "accuracy_at_0.5"}


def test_a_sparse_discount_on_masks_by_weight_needs_training(folder: Path) -> None:
    parts = parts_of(folder, "{name: fiarse, density: 0.5}\ncost: {sparse_speedup: 0.5}")
    with pytest.raises(
        InputError, match=r"cost.sparse_speedup: makes seconds depend on the weights, as .fiarse."
    ):
        execute(parts, timing_only=True)
    assert [problem.path for problem in time_dependence(parts.scenario)] == ["cost.sparse_speedup"]
