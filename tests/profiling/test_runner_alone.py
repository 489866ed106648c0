"""The runner needs nothing but Python 3.9, numpy and onnxruntime, and says so where it lacks something."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgesim.profiling import stand_alone
from edgesim.profiling.runner import timings
from tests.profiling import bundles

FOLDER = Path(stand_alone.__file__).parent / "runner"
FILES = sorted(FOLDER.glob("*.py"))
HOME = "edgesim.profiling.runner"


def without_edgesim() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def pythons(*versions: str) -> list[str]:
    """Those of these versions that are on this machine: where pyenv puts them, or on the path."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [
        next(pyenv.glob(f"versions/{version}.*/bin/python"), None) or shutil.which(f"python{version}")
        for version in versions
    ]
    return [str(python) for python in found if python is not None]


def environment(folder: Path, python: str, *packages: str) -> str:
    """A virtual environment with these packages and what they need, by pip; gives its Python."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True, env=without_edgesim())
    made = str(folder / "bin/python")
    subprocess.run([made, "-m", "pip", "install", "--quiet", *packages], check=True, env=without_edgesim())
    return made


def ran(python: str, bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A session on a bundle, in the folder beside it."""
    command = [python, str(bundle), *arguments]
    return subprocess.run(
        command, cwd=bundle.parent, capture_output=True, text=True, check=False, env=without_edgesim()
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_imports_only_what_a_board_has(file: Path) -> None:
    allowed = sys.stdlib_module_names | {"numpy", "onnxruntime"}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        assert [
            name for name in names if name.split(".")[0] not in allowed and not name.startswith(HOME)
        ] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_written_in_python_3_9(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 9))
    if "|" in source:
        assert "from __future__ import annotations" in source


def test_numpy_and_onnxruntime_are_loaded_by_the_child_alone() -> None:
    code = f"import sys, {HOME}.command; sys.exit(bool({{'numpy', 'onnxruntime'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_bundle_carries_the_whole_runner_in_empty_packages() -> None:
    carried = stand_alone.runner_files()
    assert carried["__main__.py"] == (FOLDER / "__main__.py").read_bytes()
    assert {name: raw for name, raw in carried.items() if name.endswith("__init__.py")} == {
        "edgesim/__init__.py": b"",
        "edgesim/profiling/__init__.py": b"",
        f"{stand_alone.RUNNER}/__init__.py": (FOLDER / "__init__.py").read_bytes(),
    }
    assert {f"{stand_alone.RUNNER}/{file.name}" for file in FILES} <= set(carried)


def test_an_old_python_is_told_so_in_one_line(tmp_path: Path) -> None:
    old = pythons("2.7", "3.6", "3.7", "3.8")
    if not old:
        pytest.skip("no Python older than 3.9 is on this machine")
    folder = bundles.folder(tmp_path / "bundle")
    for bundle in (folder, bundles.zipped(folder, tmp_path / "bundle.zip")):
        for python in old:
            process = ran(python, bundle)
            assert process.returncode == 2
            assert process.stderr.startswith("This bundle needs Python 3.9 or newer, and this is Python ")
            assert process.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("versions", "packages"),
    [
        (("3.9", "3.10", "3.11"), ("onnxruntime==1.17.*", "numpy<2")),
        (("3.13", "3.12", "3.11"), ("onnxruntime", "numpy")),
    ],
    ids=["oldest", "newest"],
)
def test_a_bundle_runs_on_the_oldest_and_newest_packages(
    tmp_path: Path, versions: tuple[str, ...], packages: tuple[str, ...]
) -> None:
    """In an environment that pip makes, of the first of these Pythons that the machine has."""
    python = environment(tmp_path / "env", pythons(*versions)[0], *packages)
    folder = bundles.folder(tmp_path / "bundle")
    for bundle in (folder, bundles.zipped(folder, tmp_path / "bundle.zip")):
        out = tmp_path / f"{bundle.name}.jsonl"
        process = ran(python, bundle, "--budget", "0.5", "--passes", "1", "--out", str(out))
        assert process.returncode == 0, process.stderr
        assert len(timings.read(str(out)).timed) == 4


@pytest.mark.slow
def test_an_old_onnxruntime_beside_a_new_numpy_is_told_in_one_line(tmp_path: Path) -> None:
    """In an environment that pip makes; numpy 2 and onnxruntime 1.17 both exist for Pythons 3.9 to 3.12."""
    python = environment(tmp_path / "env", pythons("3.11", "3.12")[0], "onnxruntime==1.17.*", "numpy>=2")
    process = ran(python, bundles.folder(tmp_path / "bundle"))
    assert process.returncode == 2
    assert process.stderr.startswith("onnxruntime does not load beside numpy 2.")
    assert process.stderr.count("\n") == 1
