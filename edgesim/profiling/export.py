"""Every sub-model shape of a scenario as an inference graph and a training step, in one bundle.

Shapes are those of `Workload.shape`. Where variants share one, the first variant's graph stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import nn

from edgesim import registry
from edgesim.errors import RunFailed
from edgesim.experiment import initial_weights, objective
from edgesim.parts import Parts, Shelf, prepare
from edgesim.profiling import bundle
from edgesim.profiling._blame import culprit
from edgesim.profiling._table import NoTranslationError
from edgesim.profiling._writer import IR_VERSION, OPSET, counted
from edgesim.profiling.check import LOSS_TOLERANCE, Check, Checker
from edgesim.profiling.runner.reading import FORMAT, Bundle
from edgesim.profiling.steps import Exported, inference, training_step
from edgesim.profiling.subjects import Subject, subject_of
from edgesim.scenario import Experiment
from edgesim.submodels._rule import Rule
from edgesim.submodels._submodel import Submodel
from edgesim.training.accounting import operators, size_of
from edgesim.training.optimizer import Adam, Optimizer


@dataclass
class _Case:
    """A sub-model shape that is to be exported.

    Attributes:
        shape: hash of the shape.
        parts: of the first variant that has it.
        submodel: of that variant.
        rule: what that variant changes in a local step.
        samples: of a device that trains with batches of this size.
        labels: of all sub-models with this shape.
        variants: that have it.
    """

    shape: str
    parts: Parts
    submodel: Submodel
    rule: Rule
    samples: int
    labels: dict[str, None] = field(default_factory=dict)
    variants: dict[str, None] = field(default_factory=dict)

    @property
    def network(self) -> nn.Module:
        """What a device holds."""
        return self.parts.ledger.structure_of(self.submodel).network

    @property
    def batch(self) -> int:
        """Samples of a step."""
        return self.parts.ledger.work.batch(self.samples)


@dataclass
class _Cases:
    """All shapes of some variants, each once, and the mixtures of them."""

    shapes: dict[str, _Case] = field(default_factory=dict)
    mixed: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, variant: str, parts: Parts) -> None:
        """Enter the shapes of a variant."""
        ledger = parts.ledger
        _, first = np.unique([ledger.work.batch(int(n)) for n in ledger.samples], return_index=True)
        for capacity in _capacities(parts):
            submodel = _submodel(parts, capacity)
            for samples in (int(ledger.samples[device]) for device in first):
                if samples:
                    self._enter(variant, parts, submodel, samples)

    def _enter(self, variant: str, parts: Parts, submodel: Submodel, samples: int) -> None:
        shape = parts.ledger.workload_of(submodel, samples).shape
        if submodel.nest is None:
            rule = parts.scenario.submodel.rule
            self._shape(variant, _Case(shape, parts, submodel, rule, samples))
            return
        runs = []
        for times, level in submodel.nest.runs:  # what a batch runs is a plain step of a level's own network
            part = parts.ledger.workload_of(level, samples).shape
            self._shape(variant, _Case(part, parts, level, Rule(), samples))
            runs.append([times, part])
        batch = parts.ledger.work.batch(samples)
        self.mixed[shape] = {"shape": shape, "labels": [submodel.label], "batch": batch, "runs": runs}

    def _shape(self, variant: str, case: _Case) -> None:
        known = self.shapes.setdefault(case.shape, case)
        known.labels[case.submodel.label] = None
        known.variants[variant] = None


def _capacities(parts: Parts) -> Sequence[float]:
    """What devices have or may get: their own, and the ladder unless the scenario fixes one."""
    ledger = parts.ledger
    given = {float(capacity) for capacity in ledger.capacity}
    if ledger.strategy.fixed_capacity() is None:
        given |= set(ledger.strategy.ladder(ledger.structure))
    if parts.scenario.growth.grows:
        given |= set(parts.scenario.growth.rungs(sorted(given), ledger.capacity))
    return sorted(given)


def _submodel(parts: Parts, capacity: float) -> Submodel:
    """What a capacity holds; of the first version's weights, where these decide it."""
    ledger = parts.ledger
    if ledger.strategy.costs_need_weights:
        return ledger.shown(capacity, 0, initial_weights(parts))
    return ledger.expected(capacity)


def export(
    experiments: Sequence[Experiment],
    out: Path,
    *,
    overwrite: bool = False,
    download: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Bundle:
    """Write a bundle of every sub-model shape of these variants, each graph held against PyTorch.

    A graph that cannot be made, or is not right, is listed in the manifest's `failed`; the others are there.

    Args:
        experiments: the variants of one scenario.
        out: a folder, or a file whose name ends in `.zip`.
        overwrite: whether an earlier bundle may be replaced.
        download: whether missing data sets may be fetched.
        progress: told the share that is done.

    Raises:
        InputError: something in the scenario is wrong, or `out` is taken.
        RunFailed: not one graph could be made.
    """
    bundle.check(out, overwrite=overwrite)
    cases, shelf = _Cases(), Shelf()
    for experiment in experiments:
        cases.add(experiment.variant, prepare(experiment, download=download, shelf=shelf))
    graphs: dict[str, bytes] = {}
    known = _Known()
    entries: dict[str, dict[str, Any]] = {}
    failures: dict[str, list[dict[str, Any]]] = {}
    for number, case in enumerate(_deepest_first(cases.shapes.values())):
        made, failures[case.shape] = _export_case(case, known)
        graphs |= {_file(case, kind): model for kind, (model, _) in made.items()}
        if made:
            described = {kind: description for kind, (_, description) in made.items()}
            entries[case.shape] = _entry(case, described)
        if progress is not None:
            progress((number + 1) / len(cases.shapes))
    shapes = [entries[shape] for shape in cases.shapes if shape in entries]
    failed = [failure for shape in cases.shapes for failure in failures[shape]]
    if not shapes:
        raise RunFailed("\n".join(failure["message"] for failure in failed))
    manifest = _header(experiments[0].scenario.name) | {
        "shapes": shapes,
        "mixed": list(cases.mixed.values()),
        "failed": failed,
    }
    return bundle.write(out, manifest, graphs, overwrite=overwrite)


def _deepest_first(cases: Iterable[_Case]) -> list[_Case]:
    """Those of one network and batch in a row: checks of shallow ones use the gradients of the deepest."""
    rows: dict[tuple[nn.Module, int], list[_Case]] = {}
    for case in cases:
        rows.setdefault((case.network, case.batch), []).append(case)
    return [
        case for row in rows.values() for case in sorted(row, key=lambda case: -len(case.submodel.layers))
    ]


def _header(scenario: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        **{name: version(name) for name in ("edgesim", "torch", "onnx")},
        "scenario": scenario,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "opset": OPSET,
        "ir_version": IR_VERSION,
    }


@dataclass
class _Known:
    """What is made only once, as all depths of a network have the same forward pass.

    Attributes:
        forwards: inference graphs, by network and batch.
        checks: of graphs, by content.
        checker: makes them.
    """

    forwards: dict[tuple[nn.Module, int], Exported] = field(default_factory=dict)
    checks: dict[bytes, Check] = field(default_factory=dict)
    checker: Checker = field(default_factory=Checker)

    def inference(self, subject: Subject) -> Exported:
        """The inference graph of a subject."""
        key = subject.network, len(subject.example.x)
        if key not in self.forwards:
            self.forwards[key] = inference(subject)
        return self.forwards[key]


def _export_case(
    case: _Case, known: _Known
) -> tuple[dict[str, tuple[bytes, dict[str, Any]]], list[dict[str, Any]]]:
    """The graphs of a shape by kind, with their entries in the manifest, and what failed."""
    scenario = case.parts.scenario
    minimised = replace(objective(scenario), rule=case.rule)
    lr = scenario.training.learning_rate
    subject = subject_of(case.parts.ledger, case.submodel, minimised, case.batch, lr)
    made, failures = {}, []
    for kind, build, check in (
        ("step", training_step, known.checker.step),
        ("inference", known.inference, known.checker.inference),
    ):
        try:
            exported = build(subject)
            content = exported.model.SerializeToString()
            if content not in known.checks:
                onnx.checker.check_model(exported.model, full_check=True)
                known.checks[content] = check(exported, subject)
            _refuse_wrong(known.checks[content])
        except NoTranslationError as error:
            module = culprit(subject.network, subject.example.x, error.operator)
            failures.append(_failure(case, kind, _advice(error, module), module, error.operator))
        except RunFailed as error:
            failures.append(_failure(case, kind, str(error)))
        else:
            made[kind] = content, _described(exported, known.checks[content], _file(case, kind))
    return made, failures


def _refuse_wrong(check: Check) -> None:
    if not check.passed:
        raise RunFailed(
            f"the graph differs from PyTorch: the loss by {check.loss_error:.1e} ({LOSS_TOLERANCE:g} is"
            f" allowed), {check.tensor} by {check.update_error:.1f} times what is allowed; please report this"
            " model, and leave the shape to the fit (cost: {name: measured, otherwise: analytic})"
        )


def _advice(error: NoTranslationError, module: str) -> str:
    where = f"module {module}" if module else "the loss or the strategy's rule"
    return (
        f"{where}: {error}; replace it by layers of PyTorch that README lists, or leave this shape to the fit"
        " (cost: {name: measured, otherwise: analytic})"
    )


def _failure(case: _Case, graph: str, message: str, module: str = "", operator: str = "") -> dict[str, Any]:
    labels = list(case.labels)
    return {
        "labels": labels,
        "graph": graph,
        "module": module,
        "operator": operator,
        "message": f"{labels[0]}, batch {case.batch}, {graph}: {message}",
    }


def _file(case: _Case, kind: str) -> str:
    return f"graphs/{case.shape}-{kind}.onnx"


def _described(exported: Exported, check: Check, file: str) -> dict[str, Any]:
    return {
        "file": file,
        "nodes": counted(exported.model),
        "inputs": [port.described() for port in exported.inputs],
        "outputs": [port.described() for port in exported.outputs],
        "check": asdict(check),
    }


def _entry(case: _Case, graphs: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A shape in the manifest."""
    ledger, submodel = case.parts.ledger, case.submodel
    held = ledger.structure_of(submodel)
    dense = [1.0] * len(held.layers)
    counts = {
        "operators": operators(held, submodel.layers, case.batch, dense),
        "inference_operators": operators(held, frozenset(), case.batch, dense),
    }
    return {
        "shape": case.shape,
        "labels": list(case.labels),
        "variants": list(case.variants),
        "model": registry.name_of(case.parts.scenario.model),
        "batch": case.batch,
        "optimizer": _optimizer(ledger.optimizer),
        "parameters": held.parameters,
        "trained": size_of(held, submodel).trained,
        "memory_bytes": ledger.workload_of(submodel, case.samples).memory_bytes,
        **{name: [asdict(each) for each in found] for name, found in counts.items()},
        **graphs,
    }


def _optimizer(optimizer: Optimizer) -> str:
    if isinstance(optimizer, Adam):
        return f"adam weight_decay {optimizer.weight_decay:g}"
    return f"sgd momentum {optimizer.momentum:g} weight_decay {optimizer.weight_decay:g}"
