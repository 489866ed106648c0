"""The files that a bundle carries besides its graphs, so that it runs where edgesim is not installed."""

from __future__ import annotations

from importlib import resources

RUNNER = "edgesim/profiling/runner"


def runner_files() -> dict[str, bytes]:
    """The stand-alone runner: path in the bundle -> content.

    It keeps its place in the package, so that its files find each other by the same names in a bundle and
    here; the packages around it are empty there.
    """
    folder = resources.files("edgesim.profiling.runner")
    sources = {each.name: each.read_bytes() for each in folder.iterdir() if each.name.endswith(".py")}
    return {
        "__main__.py": sources["__main__.py"],
        "edgesim/__init__.py": b"",
        "edgesim/profiling/__init__.py": b"",
        **{f"{RUNNER}/{name}": source for name, source in sorted(sources.items())},
    }
