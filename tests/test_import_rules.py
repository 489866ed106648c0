"""The import rules of the design: who may know whom, and where the heavy packages live."""

import ast
import graphlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edgesim"

# Rooms from the lowest up. A room may import those of lower rows, none beside it and none above.
BOTTOM = [
    {"errors"},
    {"rng", "registry", "units", "shipped", "learner", "papers"},
    {"yaml_source"},
]
RESULTS = [{"results"}]
TIMING = [{"devices"}, {"server"}, {"selection", "coordination"}, {"simulation"}]
LEARNING = [{"models", "datasets"}, {"submodels", "aggregation", "growth"}, {"training"}]
BOTH = [
    {"document", "sections", "loggers", "interrupts", "composition", "heap"},
    {"scenario", "workers"},
    {"capacity", "seconds", "task"},
    {"validation", "drafting", "catalogue"},
    {"parts"},
    {"experiment"},
    {"planning", "retiming", "closed_form"},
    {"sensitivity"},
    {"profiling", "reports"},
    {"progress"},
    {"runs"},
    {"campaign", "completion"},
    {"cli", "api"},
    {"__main__", "__init__"},
]
BELOW = {  # the rows that each row stands on, its own lower ones aside
    "bottom": [],
    "results": [*BOTTOM],
    "timing": [*BOTTOM],
    "learning": [*BOTTOM],
    "both": [*BOTTOM, *RESULTS, *TIMING, *LEARNING],
}
ROWS = {"bottom": BOTTOM, "results": RESULTS, "timing": TIMING, "learning": LEARNING, "both": BOTH}

LEARNS = set().union(*LEARNING)
HOMES = {
    "simpy": {"simulation"},
    "torch": {*LEARNS, "parts", "experiment", "profiling"},
    "torchvision": LEARNS,
    "onnxruntime": {"profiling"},
    "pandas": {"results", "reports", "devices"},
    "plotly": {"reports"},
    "matplotlib": {"reports"},
}


@dataclass(frozen=True)
class Import:
    """One imported module, and where that is written."""

    file: Path
    line: int
    module: str
    when_loaded: bool

    @property
    def importer(self) -> str:
        return room_of(self.file)

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def rooms() -> set[str]:
    return {room_of(file) for file in files()} - {"__init__"}


def imports_of(file: Path) -> Iterator[Import]:
    """Every import of a file, also those within functions and those for type checkers."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    loaded = set(_run_when_loaded(tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            inside = node.module == "edgesim"
            names = [f"edgesim.{alias.name}" for alias in node.names] if inside else [str(node.module)]
        else:
            continue
        yield from (Import(file, node.lineno, name, node in loaded) for name in names)


def _run_when_loaded(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            yield from _run_when_loaded(node.body)
        if isinstance(node, ast.ClassDef | ast.Try | ast.With):
            yield from _run_when_loaded(node.body)


ALL = [found for file in files() for found in imports_of(file)]


def edges() -> list[tuple[Import, str]]:
    """Imports from one room of the package to another."""
    found = []
    for each in ALL:
        package, _, rest = each.module.partition(".")
        room = rest.partition(".")[0]
        if package == "edgesim" and room in rooms() and room != each.importer:
            found.append((each, room))
    return found


def allowed_from(room: str) -> set[str]:
    for name, rows in ROWS.items():
        for height, row in enumerate(rows):
            if room in row:
                return set().union(*BELOW[name], *rows[:height])
    return set()


def test_every_room_has_its_place_in_the_order() -> None:
    placed = [room for rows in ROWS.values() for row in rows for room in row]
    assert len(placed) == len(set(placed))
    assert rooms() <= set(placed)


def test_a_room_imports_only_what_stands_below_it() -> None:
    assert [str(each) for each, room in edges() if room not in allowed_from(each.importer)] == []


def test_the_towers_never_import_each_other() -> None:
    timing, learning = set().union(*TIMING), LEARNS
    assert not timing & set().union(*map(allowed_from, learning))
    assert not learning & set().union(*map(allowed_from, timing))


def test_no_rooms_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for each, room in edges():
        graph.setdefault(each.importer, set()).add(room)
    assert list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_package_stays_in_its_home(package: str) -> None:
    strangers = [
        str(each)
        for each in ALL
        if each.module.partition(".")[0] == package and each.importer not in HOMES[package]
    ]
    assert strangers == []


def test_component_files_load_no_torch() -> None:
    heavy = [
        str(each)
        for each in ALL
        if each.when_loaded
        and each.module.partition(".")[0] in ("torch", "torchvision")
        and each.importer in set().union(*LEARNING[:2])
        and not each.file.name.startswith("_")
    ]
    assert heavy == []


@pytest.mark.parametrize(
    ("loaded", "unwanted"),
    [
        ("edgesim.simulation.engine", "torch"),
        ("edgesim.training.federation", "simpy"),
        ("edgesim.scenario", "torch"),
        ("edgesim.scenario", "scipy"),
        ("edgesim.results", "torch"),
        ("edgesim.campaign", "torch"),
        ("edgesim.campaign", "simpy"),
        ("edgesim.campaign", "scipy"),
        ("edgesim.reports.page", "torch"),
        ("edgesim.reports.page", "simpy"),
    ],
)
def test_loading_one_part_does_not_load_what_belongs_to_another(loaded: str, unwanted: str) -> None:
    code = f"import sys, {loaded}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_scenario_schema_knows_every_component_without_torch() -> None:
    code = "import sys, edgesim.scenario as s; s.schema(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_path_that_the_settings_name_exists() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tool, project = settings["tool"], settings["project"]
    targets = tool["hatch"]["build"]["targets"]
    named = [
        *tool["pytest"]["ini_options"]["testpaths"],
        *tool["mypy"]["files"],
        *targets["wheel"]["packages"],
        *targets["wheel"]["force-include"],
        *(path.lstrip("/") for path in targets["sdist"]["include"]),
        *(pattern.removesuffix("/**") for pattern in tool["ruff"]["lint"]["per-file-ignores"]),
        *project["license-files"],
        project["readme"],
    ]
    assert [path for path in named if not (ROOT / path).exists()] == []
