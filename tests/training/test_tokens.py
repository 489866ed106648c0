"""Training on tokens: what is minimised and measured, plans of networks that read them, and whole runs."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgesim import yaml_source
from edgesim.datasets._dataset import IGNORED
from edgesim.document import Document
from edgesim.errors import InputError
from edgesim.experiment import execute, federation
from edgesim.models.lstm import Lstm
from edgesim.models.transformer import Transformer
from edgesim.parts import Parts, prepare
from edgesim.rng import Streams
from edgesim.scenario import resolve
from edgesim.training.cohorts import Execution, Job, Samples, Trainer
from edgesim.training.evaluate import Evaluator
from edgesim.training.objective import Objective, bce_with_logits, cross_entropy
from edgesim.training.optimizer import Sgd
from tests.training.languages import LENGTH, VOCABULARY
from tests.training.visits import BATCH, POOL, difference, jobs, trained

SIZES = (7, 12, 4)
SMALL = {"embedding": 8, "heads": 2, "feed_forward": 12, "layers": 2, "dropout": 0.0, "positions": LENGTH}


# ----------------------------------------------------------------------------------- objective and metrics


def test_a_samples_loss_is_the_mean_over_its_tokens_that_count() -> None:
    logits = torch.randn(3, 4, VOCABULARY, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 2, 3, 4], [5, IGNORED, IGNORED, 6], [IGNORED, 7, 0, 1]])
    each = torch.stack([functional.cross_entropy(*sample) for sample in zip(logits, labels, strict=True)])
    weight = torch.tensor([0.5, 0.5, 0.0])  # the third pads the batch
    torch.testing.assert_close(cross_entropy(logits, labels, weight), (each[0] + each[1]) / 2)
    plain = functional.binary_cross_entropy_with_logits(
        logits[1, 3], functional.one_hot(labels[1, 3], 8) * 1.0
    )
    first = functional.binary_cross_entropy_with_logits(
        logits[1, 0], functional.one_hot(labels[1, 0], 8) * 1.0
    )
    found = bce_with_logits(logits, labels, torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(found, (plain + first) / 2)


def test_a_sample_in_which_nothing_counts_has_no_loss() -> None:
    logits, labels = torch.randn(1, 4, VOCABULARY, requires_grad=True), torch.full((1, 4), IGNORED)
    loss = cross_entropy(logits, labels, torch.ones(1))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


class Fixed(nn.Module):
    """Gives the same logits whatever it reads."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[: len(x)]  # type: ignore[index]


def measured(logits: Tensor, labels: Tensor, x: Tensor) -> dict[str, float]:
    network = Fixed(logits)
    return Evaluator(network, Samples(x, labels), "cross_entropy", False)(dict(network.named_buffers()))


def test_accuracy_is_per_predicted_token_and_top5_counts_the_five_largest() -> None:
    descending = torch.arange(VOCABULARY, 0, -1.0).expand(2, 3, VOCABULARY)  # 0 is the likeliest, then 1, ...
    labels = torch.tensor([[0, 4, 5], [IGNORED, 0, IGNORED]])
    metrics = measured(descending, labels, torch.zeros(2, 3, dtype=torch.int64))
    assert metrics["accuracy"] == 2 / 4
    assert metrics["top5_accuracy"] == 3 / 4
    losses = functional.cross_entropy(descending[0], labels[0]), -descending[0, 0].log_softmax(-1)[0]
    assert metrics["loss"] == pytest.approx(float(sum(losses)) / 2)


def test_five_tokens_and_numbers_have_no_top5() -> None:
    tokens = torch.zeros(2, 3, dtype=torch.int64)
    assert set(measured(torch.ones(2, 5), torch.tensor([0, 1]), tokens)) == {"loss", "accuracy"}
    assert set(measured(torch.ones(2, 9), torch.tensor([0, 1]), tokens.float())) == {"loss", "accuracy"}


# --------------------------------------------------------------------------------------------------- plans


def network_of(kind: str, predict: str = "last") -> nn.Module:
    model = Lstm(embedding=3, hidden=6, predict=predict) if kind == "lstm" else Transformer(**SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return model.build((LENGTH,), VOCABULARY).double()


def pool(everywhere: bool) -> Samples:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randint(VOCABULARY, (POOL, LENGTH), generator=generator) for _ in range(2))
    y[torch.rand(POOL, LENGTH, generator=generator) < 0.3] = IGNORED
    y[:, -1].clamp_(min=0)
    return Samples(x, y if everywhere else y[:, -1])


def trainer(network: nn.Module, samples: Samples, execution: Execution | None = None) -> Trainer:
    return Trainer(network, Objective(), Sgd(), samples, execution or Execution(), Streams(1), BATCH)


def eager(network: nn.Module, job: Job, samples: Samples) -> dict[str, Tensor]:
    network = copy.deepcopy(network).train()
    params = dict(network.named_parameters())
    losses = []
    for batch in job.batches:
        index = torch.from_numpy(job.samples[batch])
        logits, labels = network(samples.x[index]), samples.y[index]
        pairs = zip(logits, labels, strict=True)
        loss = torch.stack([functional.cross_entropy(*pair, ignore_index=IGNORED) for pair in pairs]).mean()
        gradients = torch.autograd.grad(loss, [params[name] for name in job.params])
        with torch.no_grad():
            for name, gradient in zip(job.params, gradients, strict=True):
                params[name] -= job.lr * gradient
        losses.append(float(loss.detach()) * len(batch))
    mean = torch.tensor(sum(losses) / sum(len(batch) for batch in job.batches), dtype=torch.float64)
    return {name: params[name].detach() for name in job.params} | {"loss": mean}


@pytest.mark.parametrize("kind", ["transformer", "lstm", "lstm everywhere"])
@pytest.mark.parametrize("suffix", [None, 6], ids=["all layers", "upper layers"])
def test_a_plan_trains_as_autograd_does(kind: str, suffix: int | None) -> None:
    predict = "all" if "everywhere" in kind else "last"
    network, samples = network_of(kind.split()[0], predict), pool(kind != "lstm")
    work = jobs(network, SIZES[:2], trained=suffix, epochs=1)
    for job, found in zip(work, trained(trainer(network, samples), work), strict=True):
        assert difference(found, eager(network, job, samples)) < 1e-12


@pytest.mark.parametrize("suffix", [None, 6], ids=["all layers", "upper layers"])
def test_stacked_transformers_train_as_single_ones_do(suffix: int | None) -> None:
    network, samples = network_of("transformer"), pool(everywhere=True)
    work = jobs(network, SIZES, trained=suffix, epochs=1)
    alone = trained(trainer(network, samples), work)
    stacked = trained(trainer(network, samples, Execution(mode="stacked", cohort=3)), work)
    assert max(map(difference, alone, stacked)) < 1e-12


def test_the_frozen_layers_of_an_lstm_run_once_per_visit() -> None:
    network, samples = network_of("lstm"), pool(everywhere=False)
    made = trainer(network, samples)
    (job,) = jobs(network, SIZES[:1], trained=6)
    plan = made.plan(job, BATCH, None)
    assert plan.prefix is not None
    targets = [str(node.target) for node in plan.graph.nodes]
    whole = made.plan(jobs(network, SIZES[:1])[0], BATCH, None)
    assert targets.count("aten.tanh.default") == LENGTH
    assert [str(node.target) for node in whole.graph.nodes].count("aten.tanh.default") == 2 * LENGTH


# ------------------------------------------------------------------------------------------------- whole runs

RUN = """
name: text
model: {model}
dataset: {{name: "tests.training.languages:Alphabet", everywhere: {everywhere}, partition: natural}}
fleet:
  - {{profile: pixel-6, count: 4}}
coordination: {{name: synchronous, clients_per_round: 4}}
training: {{epochs: 2, batch_size: 10, optimizer: adam, learning_rate: 0.02}}
evaluate: {{every: 2 rounds}}
stop: {{rounds: 6}}
"""
MODELS = {
    "transformer": "{name: transformer, embedding: 16, heads: 2, feed_forward: 24, layers: 1, dropout: 0.0}",
    "lstm": "{name: lstm, embedding: 8, hidden: 16}",
}


def _document(text: str) -> Document:
    return Document(yaml_source.parse(text, "text.yaml"), Path("text.yaml"))


def prepared(model: str, *overrides: str, everywhere: bool) -> Parts:
    text = RUN.format(model=MODELS.get(model, model), everywhere=str(everywhere).lower())
    return prepare(resolve(_document(text), None, overrides))


@pytest.mark.parametrize(("model", "everywhere"), [("transformer", True), ("lstm", False)])
def test_a_federation_learns_the_alphabet(model: str, everywhere: bool) -> None:
    found = execute(prepared(model, everywhere=everywhere)).tables["evaluations"]
    assert found["loss"][-1] < found["loss"][0] / 2
    assert found["accuracy"][-1] > 0.9
    assert found["top5_accuracy"][-1] >= found["accuracy"][-1]


def test_a_run_ends_at_the_wanted_top5_accuracy() -> None:
    parts = prepared("transformer", "stop={rounds: 6, target: {top5_accuracy: 0.9}}", everywhere=True)
    outcome = execute(parts)
    assert outcome.reason == "target"
    assert outcome.tables["evaluations"]["top5_accuracy"][-1] >= 0.9
    with pytest.raises(InputError, match=r"top5_accuracy is a share between 0 and 1, got 25; for 25 %"):
        prepared("transformer", "stop={target: {top5_accuracy: 25}}", everywhere=True)


@pytest.mark.parametrize(("model", "everywhere"), [("transformer", True), ("lstm", False)])
@pytest.mark.parametrize("submodel", ["{name: heterofl, width: 0.5}", "{name: fedpmt, depth: 2}"])
def test_sub_models_of_them_train(model: str, everywhere: bool, submodel: str) -> None:
    overrides = (f"submodel={submodel}", "stop={rounds: 4}")
    found = execute(prepared(model, *overrides, everywhere=everywhere)).tables["evaluations"]
    assert found["loss"][-1] < 0.9 * found["loss"][0]


def test_the_tokens_that_a_device_has_are_those_among_its_labels() -> None:
    parts = prepared("transformer", "submodel={name: heterofl, width: 0.5}", everywhere=True)
    learner = federation(parts)
    learner.trainer.samples.y[parts.shards[0]] = torch.tensor([IGNORED, 2, IGNORED, 5, 2])
    assert learner._present_classes(0).tolist() == [0, 0, 1, 0, 0, 1, 0, 0]


def test_transformers_are_stacked_and_recurrent_networks_are_not() -> None:
    on_cpu = "execution.device=cpu"
    assert prepared("transformer", on_cpu, everywhere=True).scenario.execution.mode == "stacked"
    assert prepared("lstm", on_cpu, everywhere=False).scenario.execution.mode == "sequential"
    with pytest.raises(InputError, match=r"is stacked, but PyTorch cannot run recurrent .*; use sequential"):
        prepared("lstm", "execution.mode=stacked", everywhere=False)


def test_models_and_data_must_agree_on_tokens_and_on_predictions() -> None:
    with pytest.raises(InputError, match=r'"mlp" takes numbers, and ".*Alphabet" has tokens'):
        prepared("mlp", everywhere=False)
    with pytest.raises(InputError, match=r'"lstm" takes tokens, and ".*Alphabet" has numbers'):
        prepared("lstm", "dataset.numbers=true", everywhere=False)
    with pytest.raises(InputError, match=r"predictions of shape \(5,\) for each .* labels of shape \(\)"):
        prepared("transformer", everywhere=False)
