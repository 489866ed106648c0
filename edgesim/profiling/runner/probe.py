"""Asks, in a process of its own, which numpy and onnxruntime are here and whether they go together."""

from __future__ import annotations

import importlib
import platform
import sys

from edgesim.profiling.runner import channel
from edgesim.profiling.runner.errors import Unusable

OLDEST_ONNXRUNTIME = (1, 17)
FIRST_WITH_NUMPY_2 = (1, 19)
LAST_ONNXRUNTIME = {(3, 9): "1.19.2", (3, 10): "1.23.2"}  # for which Pythons there are wheels
OLDER_NUMPY = f'install an older one: {sys.executable} -m pip install "numpy<2"'
WITHOUT_WHEELS = ("armv6l", "armv7l", "armv8l", "i686")


def main() -> None:
    """Answer with the versions, or with what is wrong."""
    with channel.answering() as answer:
        try:
            answer(versions())
        except Unusable as problem:
            answer({"problem": str(problem)})


def versions() -> dict[str, str]:
    """The versions of `numpy` and `onnxruntime`.

    Raises:
        Unusable: one is missing or too old, or they do not go together.
    """
    numpy = _loaded("numpy", None)
    onnxruntime = _loaded("onnxruntime", numpy)
    problem = misfit(numpy, onnxruntime)
    if problem is not None:
        raise Unusable(problem)
    return {"numpy": numpy, "onnxruntime": onnxruntime}


def misfit(numpy: str, onnxruntime: str) -> str | None:
    """Why these two do not serve together, if they do not."""
    if _version(onnxruntime) < OLDEST_ONNXRUNTIME:
        return f"onnxruntime {onnxruntime} is too old, at least 1.17 is needed; {how_to_install()}"
    if _version(numpy) >= (2, 0) and _version(onnxruntime) < FIRST_WITH_NUMPY_2:
        return f"onnxruntime {onnxruntime} does not go with numpy {numpy}; {OLDER_NUMPY}"
    return None


def how_to_install(python: tuple[int, int] = sys.version_info[:2], machine: str = platform.machine()) -> str:
    """The commands that get both packages, for this Python on this kind of machine."""
    if machine in WITHOUT_WHEELS:
        return f"there is no onnxruntime for {machine} (32 bit): install a 64-bit system and Python"
    last = LAST_ONNXRUNTIME.get(python)
    note = "" if last is None else f" (for Python {python[0]}.{python[1]} onnxruntime {last} is the last)"
    return (
        f"install both: {sys.executable} -m venv env; env/bin/pip install numpy onnxruntime; "
        f"then start this with env/bin/python{note}"
    )


def _loaded(name: str, numpy: str | None) -> str:
    """The version of a package that loads, beside this numpy."""
    try:
        return str(importlib.import_module(name).__version__)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise Unusable(f"{name} is not installed; {how_to_install()}") from error
        raise Unusable(f"{name} does not load: {error}; {how_to_install()}") from error
    except (ImportError, AttributeError) as error:  # an extension built for another numpy raises either
        if numpy is not None and _version(numpy) >= (2, 0):
            raise Unusable(f"{name} does not load beside numpy {numpy}; {OLDER_NUMPY}") from error
        said = str(error).strip().partition("\n")[0]
        raise Unusable(f"{name} does not load: {said}; {how_to_install()}") from error


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
