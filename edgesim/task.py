"""What a command asks for: its options, one run of a scenario, and where that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgesim.document import Given, open_document
from edgesim.scenario import Experiment, resolve


@dataclass(frozen=True)
class Options:
    """What the command line says beside the scenario.

    Attributes:
        out: folder in which `<scenario>/<variant>-seed<N>` is made.
        overrides: `--set` texts.
        timing_only: no training.
        overwrite: replace run directories that exist.
        download: fetch missing data sets.
        quiet: show nothing while it runs.
        sensitivity: draws of a comparison's sensitivity; none is worked out where it is 0.
        realtime: simulated seconds per second at which a run is played; as fast as can be where null.
        log: loggers that write while a run goes.
    """

    out: Path
    overrides: tuple[str, ...] = ()
    timing_only: bool = False
    overwrite: bool = False
    download: bool = False
    quiet: bool = False
    sensitivity: int = 0
    realtime: float | None = None
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One run of a comparison, small enough to send to another process."""

    scenario: Given
    variant: str | None
    seed: int | None
    options: Options

    def resolve(self) -> Experiment:
        """The experiment that is to be run."""
        return resolve(open_document(self.scenario), self.variant, self.options.overrides, self.seed)


def directory_of(experiment: Experiment, options: Options) -> Path:
    """The directory of a run."""
    scenario = experiment.scenario
    seeds = scenario.seeds
    same = seeds.learning == seeds.timing
    seed = str(seeds.timing) if same else f"{seeds.learning}-{seeds.timing}"
    return options.out / scenario.name / f"{experiment.variant}-seed{seed}"
