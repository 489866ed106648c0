"""What is said of runs without a target: how good the models are in the end, or how long the runs took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgesim.reports import _format
from edgesim.reports._page.phrases import Show, overlap, seeds, with_range
from edgesim.reports._statistics import Spread
from edgesim.reports.comparison import Comparison, Variant

_FEW = 2  # variants beside the first that a sentence can hold


@dataclass(frozen=True)
class _Measure:
    """What variants are ranked by.

    Attributes:
        of: the number, null where a variant's is not known.
        show: the number as text.
        sign: -1 where more is better.
        alone: the verb for a single variant.
        first: the verb for the best of several.
    """

    of: Callable[[Variant], Spread | None]
    show: Show
    sign: int
    alone: str
    first: str

    def known(self, variant: Variant) -> Spread:
        """The number, where `of` knows it."""
        found = self.of(variant)
        assert found is not None
        return found


_GAP = _Measure(
    of=lambda variant: variant.final_gap,
    show=_format.number,
    sign=1,
    alone="ends with a gap to the least loss of",
    first="ends nearest to the optimum, with a gap to the least loss of",
)
_ACCURACY = _Measure(
    of=lambda variant: variant.final_accuracy,
    show=_format.fraction,
    sign=-1,
    alone="ends with an accuracy of",
    first="ends with the highest accuracy,",
)
_DURATION = _Measure(
    of=lambda variant: variant.virtual_s,
    show=_format.seconds,
    sign=1,
    alone="is done after",
    first="is done first, after",
)


def sentence(comparison: Comparison) -> str:
    """Which variant ends best, where all were evaluated; else which is done first, or merges the most."""
    measure = _measure(comparison)
    ranked = _ranked(comparison, measure)
    first = ranked[0]
    shown = with_range(measure.known(first), first, measure.show)
    if len(ranked) == 1:
        return f"{first.name} {measure.alone} {shown}."
    others = [f"{each.name} {measure.show(measure.known(each).median)}" for each in ranked[1:]]
    if len(others) > _FEW:
        others = [f"next {others[0]}", f"last {others[-1]}"]
    return f"{first.name} {measure.first} {shown}; {', '.join(others)}."


def caveats(comparison: Comparison) -> Iterator[str]:
    """How far that holds."""
    untrained = all(run.manifest["timing_only"] for run in comparison.runs)
    if untrained:
        yield "Timing alone: nothing was trained, so this says nothing about how good the models are."
    yield from seeds(comparison)
    measure = _measure(comparison)
    ranked = _ranked(comparison, measure)
    if len(ranked) > 1:
        yield from overlap(ranked[0], ranked[1], measure.known, measure.show)
    if measure is _GAP:
        yield "The least loss of this problem is known, and gaps are measured from it."
    if not untrained:
        yield "The scenario has no target; with stop.target, the times to it are compared."


def _measure(comparison: Comparison) -> _Measure:
    variants = comparison.variants
    for measure in (_GAP, _ACCURACY):
        if all(measure.of(variant) is not None for variant in variants):
            return measure
    times = {_format.seconds(variant.virtual_s.median) for variant in variants}
    return _updates(times.pop()) if len(variants) > 1 and len(times) == 1 else _DURATION


def _updates(time: str) -> _Measure:
    """Where all runs take as long."""
    return _Measure(
        of=lambda variant: Spread(*[_updates_of(variant)] * 3),
        show=_format.count,
        sign=-1,
        alone=f"merges in {time}",
        first=f"merges the most updates in {time},",
    )


def _updates_of(variant: Variant) -> float:
    """Updates merged in a run, on average."""
    return sum(part["aggregated"] or 0 for part in variant.participation.values()) / len(variant.seeds)


def _ranked(comparison: Comparison, measure: _Measure) -> list[Variant]:
    return sorted(comparison.variants, key=lambda variant: measure.sign * measure.known(variant).median)
