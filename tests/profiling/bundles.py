"""Tiny bundles, made by hand: a training step and an inference graph of a linear layer."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from edgesim.profiling.stand_alone import runner_files

BATCH, FEATURES, CLASSES = 4, 3, 2


def step() -> bytes:
    """w' = w - lr x'(x w - y): a step of least squares."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("Sub", ["scores", "y"], ["error"]),
        helper.make_node("Transpose", ["x"], ["xt"]),
        helper.make_node("MatMul", ["xt", "error"], ["gradient"]),
        helper.make_node("Mul", ["gradient", "lr"], ["change"]),
        helper.make_node("Sub", ["w", "change"], ["w_new"]),
    ]
    inputs = {"x": (BATCH, FEATURES), "w": (FEATURES, CLASSES), "y": (BATCH, CLASSES), "lr": ()}
    return model("step", nodes, inputs, {"w_new": (FEATURES, CLASSES)})


def inference() -> bytes:
    """The scores x w."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"])]
    inputs = {"x": (BATCH, FEATURES), "w": (FEATURES, CLASSES)}
    return model("inference", nodes, inputs, {"scores": (BATCH, CLASSES)})


def model(
    name: str,
    nodes: list[Any],
    inputs: dict[str, tuple[int, ...]],
    outputs: dict[str, tuple[int, ...]],
) -> bytes:
    """A checked model of float32 tensors."""
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in inputs.items()],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in outputs.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def tensor(name: str, shape: tuple[int, ...], fill: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "dtype": "float32", "shape": list(shape), "role": "x", "fill": fill}


def normal(seed: int) -> dict[str, Any]:
    return {"kind": "normal", "mean": 0.0, "std": 1.0, "seed": seed}


INPUTS = {
    "x": tensor("x", (BATCH, FEATURES), normal(1)),
    "w": tensor("w", (FEATURES, CLASSES), normal(2)),
    "y": tensor("y", (BATCH, CLASSES), normal(3)),
    "lr": tensor("lr", (), {"kind": "constant", "value": 0.1}),
}


OPERATORS = [
    {"kind": "matmul", "flops": 48, "bytes": 104, "calls": 1},
    {"kind": "elementwise", "flops": 8, "bytes": 96, "calls": 1},
]


def shape_of(name: str, label: str) -> dict[str, Any]:
    """The entry of one shape whose graphs are `graphs/NAME-step.onnx` and `graphs/NAME-inference.onnx`."""
    return {
        "shape": name,
        "labels": [label],
        "batch": BATCH,
        "operators": OPERATORS,
        "inference_operators": OPERATORS[:1],
        "step": {"file": f"graphs/{name}-step.onnx", "inputs": list(INPUTS.values())},
        "inference": {"file": f"graphs/{name}-inference.onnx", "inputs": [INPUTS["x"], INPUTS["w"]]},
    }


def contents() -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest, without its files, and files of a bundle with two shapes."""
    shapes = [shape_of("aa11", "half"), shape_of("bb22", "whole")]
    graphs = {}
    for shape in shapes:
        graphs[shape["step"]["file"]] = step()
        graphs[shape["inference"]["file"]] = inference()
    return {"format": 1, "scenario": "tiny", "shapes": shapes, "failed": []}, {**graphs, **runner_files()}


def folder(at: Path, manifest: dict[str, Any] | None = None, files: dict[str, bytes] | None = None) -> Path:
    """Write a bundle as a folder, with the checksums that belong to its files."""
    usual, usual_files = contents()
    manifest, files = manifest or usual, files or usual_files
    sums = {
        name: {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)} for name, raw in files.items()
    }
    for name, raw in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(raw)
    (at / "manifest.json").write_text(json.dumps({"files": sums, **manifest}), encoding="utf-8")
    return at


def zipped(bundle: Path, at: Path) -> Path:
    """The same bundle as one zip."""
    with zipfile.ZipFile(at, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(bundle.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(bundle).as_posix())
    return at
