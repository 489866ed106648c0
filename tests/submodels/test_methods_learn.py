"""Every method learns the digits on its paper's kind of model, far above the chance of 0.1.

Eight devices of ten train a part and two the largest sub-model: what a fleet of prefixes never reaches would
stay random. Nothing is left uncovered then.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesim import registry
from edgesim.document import open_document
from edgesim.experiment import execute
from edgesim.parts import Parts, prepare
from edgesim.scenario import resolve
from tests.contract._examples import example

SCENARIO = """\
# Does the method learn?
name: learns
seed: 1
model: {model}
dataset: {{name: digits, validation: 0.1}}
fleet:
  - {{profile: pixel-6, count: 8, capacity: {middle}}}
  - {{profile: pixel-6, count: 2, capacity: {largest}}}
submodel: {method}
coordination: {{name: synchronous, clients_per_round: {workers}}}
training: {{epochs: {epochs}, batch_size: 20, learning_rate: 0.2, clip_norm: 1}}
evaluate: {{every: 40 round}}
execution: {{threads: 1}}
stop: {{rounds: 40}}
"""
CNN, MLP, NORMALISED = "lenet", "{name: mlp, hidden: [48, 32]}", "{name: ist_mlp, hidden: [64]}"
MODELS = dict.fromkeys(("fedpmt", "heterofl", "fedrolex", "fjord", "fiarse", "fedgmr"), CNN) | {
    "ist": NORMALISED
}
EPOCHS = {"fjord": 3}  # most of its batches train a network of one or two maps
WORKERS = {  # as in its paper; more would leave each with a few units, or multiply what is left by as many
    "ist": 2,
    "ist_sketch": 2,
}


@pytest.mark.parametrize("method", registry.names("submodels"))
def test_a_method_learns_the_digits(method: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"

    def parts_of(middle: float, largest: float) -> Parts:
        text = SCENARIO.format(
            model=MODELS.get(method, MLP),
            method=method,
            middle=middle,
            largest=largest,
            workers=WORKERS.get(method, 10),
            epochs=EPOCHS.get(method, 1),
        )
        path.write_text(text)
        return prepare(resolve(open_document(str(path)), None, (), None))

    ladder = example(registry.builtin("submodels", method)).ladder(parts_of(1, 1).structure)
    tables = execute(parts_of(ladder[len(ladder) // 2], ladder[-1])).tables
    assert tables["evaluations"]["accuracy"][-1] > 0.6
    assert min(tables["coverage"]["covered_fraction"]) == 1
