"""From a scenario to a bundle: which shapes are in it, what its manifest says, and what fails how."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edgesim.errors import InputError, RunFailed
from edgesim.learner import Operator
from edgesim.parts import prepare
from edgesim.profiling.export import export
from edgesim.profiling.runner.fills import draw
from edgesim.profiling.runner.reading import Bundle, open_bundle
from edgesim.scenario import resolve_all
from tests.commands import edgesim
from tests.scenarios import document

SCENARIO = """\
name: shapes
model: {name: mlp, hidden: [8, 6]}
dataset: digits
fleet: [{profile: pixel-6, count: 6}]
coordination: {name: synchronous, clients_per_round: 2}
training: {batch_size: 8, momentum: 0.9}
stop: {rounds: 1}
"""

VARIANTS = """\
variants:
  fedavg: {submodel: full}
  fedpmt: {submodel: fedpmt}
  heterofl: {submodel: heterofl}
  mask: {submodel: {name: random_mask, density: 0.5}}
  fjord: {submodel: {name: fjord, levels: [0.5, 1]}}
"""

OWN = """\
from torch import nn, special


class Bessel(nn.Module):
    def forward(self, x):
        return special.bessel_j1(x)


class EverySecond(nn.Module):
    def forward(self, x):
        return x[:, ::2]


class Own(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.first = nn.Linear(64, 5)
        self.middle = nn.Sequential(nn.ReLU(), {middle})
        self.last = nn.LazyLinear(num_classes)
        self(special.torch.zeros(2, 64))

    def forward(self, x):
        return self.last(self.middle(self.first(x.flatten(1))))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "shapes.zip"
    return export(resolve_all(document(SCENARIO + VARIANTS)), out)


def labelled(bundle: Bundle, label: str) -> dict[str, Any]:
    (found,) = (shape for shape in bundle.manifest["shapes"] if label in shape["labels"])
    return dict(found)


def test_every_shape_on_the_ladders_is_there_once(bundle: Bundle) -> None:
    shapes = bundle.manifest["shapes"]
    assert len({shape["shape"] for shape in shapes}) == len(shapes) == 6
    labels = {label for shape in shapes for label in shape["labels"]}
    assert {f"fedpmt depth {depth}" for depth in (1, 2, 3)} < labels
    assert {f"heterofl width {width}" for width in ("0.0625", "0.125", "0.25", "0.5", "1")} < labels


def test_shapes_are_those_that_visits_are_charged_for(bundle: Bundle) -> None:
    for experiment in resolve_all(document(SCENARIO + VARIANTS))[:4]:
        books = prepare(experiment).ledger
        for device in range(6):
            work = books.workload_of(books.expected(books.capacity[device]), int(books.samples[device]))
            assert work.submodel in labelled(bundle, work.submodel)["labels"]
            assert work.shape == labelled(bundle, work.submodel)["shape"]
            counted = [Operator(**each) for each in labelled(bundle, work.submodel)["operators"]]
            assert tuple(counted) == work.operators


def test_variants_that_share_a_shape_share_its_graph(bundle: Bundle) -> None:
    whole = labelled(bundle, "full")
    assert whole["variants"] == ["fedavg", "fedpmt", "heterofl", "mask", "fjord"]
    assert {"full", "fedpmt depth 3", "heterofl width 1", "random_mask density 0.5"} < set(whole["labels"])


def test_levels_of_ordered_dropout_are_shapes_of_their_own_and_their_mixture_is_told(bundle: Bundle) -> None:
    half, whole = (labelled(bundle, f"fjord width {width}")["shape"] for width in ("0.5", "1"))
    assert [mixture["runs"] for mixture in bundle.manifest["mixed"]] == [
        [[1.0, half]],
        [[0.5, half], [0.5, whole]],
    ]


def test_every_graph_was_held_against_pytorch(bundle: Bundle) -> None:
    for shape in bundle.manifest["shapes"]:
        for kind in ("step", "inference"):
            assert shape[kind]["check"]["update_error"] <= 1
            assert shape[kind]["check"]["loss_error"] <= 1e-5


def test_all_graphs_run_on_the_numbers_of_the_manifest(bundle: Bundle) -> None:
    for graph in bundle.graphs:
        session = onnxruntime.InferenceSession(bundle.read(graph.file), providers=["CPUExecutionProvider"])
        feeds = {each["name"]: draw(each["fill"], each["shape"], each["dtype"]) for each in graph.inputs}
        assert all(np.isfinite(result).all() for result in session.run(None, feeds))


def test_inputs_and_outputs_are_described_as_they_are(bundle: Bundle) -> None:
    entry = labelled(bundle, "fedpmt depth 1")["step"]
    graph = onnx.load_from_string(bundle.read(entry["file"])).graph
    assert [each["name"] for each in entry["inputs"]] == [each.name for each in graph.input]
    assert [each["name"] for each in entry["outputs"]] == [each.name for each in graph.output]
    roles = [each["role"] for each in entry["inputs"]]
    assert roles == [*["params"] * 2, *["state"] * 2, *["frozen"] * 4, "x", "y", "weight", "scalar"]


def test_the_manifest_tells_every_file_and_its_checksum(bundle: Bundle) -> None:
    bundle.verify()
    with zipfile.ZipFile(bundle.path) as archive:
        assert sorted(archive.namelist()) == sorted([*bundle.manifest["files"], "manifest.json"])
    assert "__main__.py" in bundle.manifest["files"]


def test_the_manifest_names_the_versions_that_made_it(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert (manifest["format"], manifest["opset"], manifest["ir_version"]) == (1, 17, 8)
    assert manifest["scenario"] == "shapes"
    assert all(manifest[name] for name in ("edgesim", "torch", "onnx", "created"))


def test_each_batch_size_of_the_fleet_has_its_graphs(tmp_path: Path) -> None:
    text = SCENARIO.replace("batch_size: 8", "batch_size: 300") + "submodel: full\n"
    made = export(resolve_all(document(text)), tmp_path / "bundle")
    samples = {len(shard) for shard in prepare(resolve_all(document(text))[0]).shards}
    assert len(samples) == 2
    assert {shape["batch"] for shape in made.manifest["shapes"]} == samples


def test_a_folder_has_the_same_files_as_a_zip(bundle: Bundle, tmp_path: Path) -> None:
    made = export(resolve_all(document(SCENARIO + VARIANTS)), tmp_path / "folder")
    files = {str(file.relative_to(tmp_path / "folder")) for file in (tmp_path / "folder").rglob("*.*")}
    assert files == {*made.manifest["files"], "manifest.json"}
    assert made.manifest["files"] == bundle.manifest["files"]


def test_what_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.zip").write_text("two years of work")
    with pytest.raises(InputError, match="is there and is no bundle"):
        export(resolve_all(document(SCENARIO)), tmp_path / "thesis.zip", overwrite=True)


def test_a_bundle_is_replaced_only_where_asked(tmp_path: Path) -> None:
    experiments = resolve_all(document(SCENARIO + "submodel: full\n"))
    export(experiments, tmp_path / "bundle")
    (tmp_path / "bundle" / "old").write_text("of the first one")
    with pytest.raises(InputError, match="replace it with --overwrite"):
        export(experiments, tmp_path / "bundle")
    export(experiments, tmp_path / "bundle", overwrite=True)
    assert not (tmp_path / "bundle" / "old").exists()
    assert open_bundle(str(tmp_path / "bundle")).graphs


def with_own(folder: Path, module: str, middle: str) -> str:
    """The scenario with a model of the user's own."""
    (folder / f"{module}.py").write_text(OWN.replace("{middle}", middle))
    return SCENARIO.replace("{name: mlp, hidden: [8, 6]}", f"{module}:Own") + "submodel: fedpmt\n"


def test_an_operator_that_cannot_be_exported_is_told_with_its_module(tmp_path: Path) -> None:
    text = with_own(tmp_path, "own_bessel", "Bessel()")
    with pytest.raises(
        RunFailed, match=r"module middle\.1: aten\.special_bessel_j1\.default has no"
    ) as caught:
        export(resolve_all(document(text, tmp_path)), tmp_path / "bundle")
    assert "leave this shape to the fit" in str(caught.value)
    assert not (tmp_path / "bundle").exists()


def test_the_other_shapes_still_get_exported(tmp_path: Path) -> None:
    text = with_own(tmp_path, "own_slice", "EverySecond()")  # it is its gradient that has no translation
    made = export(resolve_all(document(text, tmp_path)), tmp_path / "bundle")
    assert [failure["labels"] for failure in made.manifest["failed"]] == [["fedpmt depth 2"]]
    (failure,) = made.manifest["failed"]
    assert (failure["graph"], failure["module"]) == ("step", "middle.1")
    assert failure["operator"] == "aten.slice_backward.default"
    assert {graph.kind for graph in made.graphs if "fedpmt depth 1" in graph.labels} == {"step", "inference"}
    assert {graph.kind for graph in made.graphs if "fedpmt depth 2" in graph.labels} == {"inference"}


def test_the_command_prints_what_is_in_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "shapes.yaml").write_text(SCENARIO + VARIANTS)
    ran = edgesim(tmp_path, "export", "shapes.yaml", "--out", "b.zip", "--variant", "fedpmt", "--json")
    assert ran.returncode == 0
    assert [shape["labels"] for shape in json.loads(ran.stdout)["shapes"]] == [
        ["fedpmt depth 1"],
        ["fedpmt depth 2"],
        ["fedpmt depth 3"],
    ]
