"""The runner trusts no bundle: names, checksums and the manifest are checked."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgesim.profiling.runner import reading
from edgesim.profiling.runner.errors import BrokenBundle
from tests.profiling import bundles

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.folder(tmp_path / "bundle")


def changed(bundle: Path, change: Change) -> str:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return str(bundle)


def refusal(path: str | Path) -> str:
    with pytest.raises(BrokenBundle) as caught:
        reading.open_bundle(str(path)).verify()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_and_a_zip_hold_the_same(bundle: Path, tmp_path: Path) -> None:
    folder = reading.open_bundle(str(bundle))
    archive = reading.open_bundle(str(bundles.zipped(bundle, tmp_path / "bundle.zip")))
    assert folder.graphs == archive.graphs
    assert folder.sha256 == archive.sha256
    for each in (folder, archive):
        each.verify()
        assert each.read("graphs/aa11-step.onnx") == bundles.step()


def test_a_graph_knows_its_shape_labels_and_inputs(bundle: Path) -> None:
    graph = reading.open_bundle(str(bundle)).graphs[1]
    assert (graph.shape, graph.kind, graph.labels, graph.batch) == ("aa11", "inference", ("half",), 4)
    assert graph.title == "half, batch 4, inference"
    assert [each["name"] for each in graph.inputs] == ["x", "w"]


def test_a_changed_byte_is_found(bundle: Path) -> None:
    file = bundle / "graphs/aa11-step.onnx"
    raw = bytearray(file.read_bytes())
    raw[10] ^= 1
    file.write_bytes(raw)
    assert "graphs/aa11-step.onnx does not have the checksum" in refusal(bundle)


@pytest.mark.parametrize("raw", [b"", b"more" * 1000])
def test_another_length_is_found(bundle: Path, raw: bytes) -> None:
    (bundle / "graphs/aa11-step.onnx").write_bytes(raw)
    assert "does not have the checksum" in refusal(bundle)


def test_a_file_that_the_manifest_does_not_name_is_not_read(bundle: Path) -> None:
    with pytest.raises(BrokenBundle, match="names no file"):
        reading.open_bundle(str(bundle)).read("notes.txt")


@pytest.mark.parametrize(
    "name", ["../outside.onnx", "/etc/passwd", "graphs/../../x", "C:/x", "graphs\\..\\x", "./x", "a//b", ""]
)
def test_a_path_that_may_leave_the_bundle_is_refused(bundle: Path, name: str) -> None:
    (bundle.parent / "outside.onnx").write_bytes(b"")
    entry = {"sha256": "0" * 64, "bytes": 0}
    path = changed(bundle, lambda manifest: manifest["files"].update({name: entry}))
    assert "may leave the bundle" in refusal(path)


def test_a_link_that_leaves_the_bundle_is_refused(bundle: Path) -> None:
    outside = bundle.parent / "outside.onnx"
    outside.write_bytes(bundles.step())
    (bundle / "graphs/aa11-step.onnx").unlink()
    os.symlink(outside, bundle / "graphs/aa11-step.onnx")
    assert "is a link that leaves the bundle" in refusal(bundle)


def broken_fill(manifest: dict[str, Any]) -> None:
    manifest["shapes"][0]["step"]["inputs"][0]["fill"] = {"kind": "zipf"}


def open_shape(manifest: dict[str, Any]) -> None:
    manifest["shapes"][0]["step"]["inputs"][0]["shape"] = ["batch", 3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda manifest: manifest.update(format=2), "has format 2, this runner reads 1"),
        (lambda manifest: manifest.pop("shapes"), "lacks 'shapes' (list)"),
        (lambda manifest: manifest["shapes"][1].pop("batch"), "shapes[1] lacks 'batch' (int)"),
        (lambda manifest: manifest["shapes"][0]["step"].pop("file"), "shapes[0].step lacks 'file' (str)"),
        (lambda manifest: manifest["files"].pop("graphs/aa11-step.onnx"), "lacks 'graphs/aa11-step.onnx'"),
        (lambda manifest: manifest["shapes"][1].update(shape="aa11"), "two graphs of one shape and kind"),
        (broken_fill, "shapes[0].step.inputs[0]: this runner knows no fill {'kind': 'zipf'}"),
        (open_shape, "the shape ['batch', 3] is not one of fixed sizes"),
    ],
)
def test_a_manifest_that_is_wrong_is_told_where(bundle: Path, change: Change, said: str) -> None:
    assert said in refusal(changed(bundle, change))


def test_what_is_no_bundle_is_said_in_one_line(bundle: Path, tmp_path: Path) -> None:
    archive = bundles.zipped(bundle, tmp_path / "b.zip")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(archive.read_bytes()[:-100])
    (bundle / "manifest.json").write_text("{")
    (tmp_path / "empty").mkdir()
    assert "neither a folder nor a whole zip" in refusal(cut)
    assert re.search("manifest.json is not JSON .*; copy the bundle again", refusal(bundle))
    assert "manifest.json cannot be read (No such file" in refusal(tmp_path / "empty")
    assert "cannot be read (No such file" in refusal(tmp_path / "nothing.zip")
