"""The answer in one sentence with its numbers, and what keeps it from being the whole truth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgesim.learner import falls
from edgesim.reports import _format
from edgesim.reports._page import closed_forms, endings
from edgesim.reports._page.phrases import listed, overlap, seeds, show_target, with_range
from edgesim.reports._statistics import Spread
from edgesim.reports.comparison import Comparison, Variant, arrivals_known, variant_names


@dataclass(frozen=True)
class Answer:
    """What the first screen of a report says.

    Attributes:
        sentence: the answer.
        caveats: sentences on how far it holds.
    """

    sentence: str
    caveats: tuple[str, ...]


def answer(comparison: Comparison) -> Answer:
    """Who is first, by how much, and how far that holds."""
    if not arrivals_known(comparison):
        caveats = endings.caveats(comparison)
        return Answer(endings.sentence(comparison), (*caveats, *_further(comparison)))
    arrived = [variant for variant in comparison.variants if math.isfinite(_arrival(variant).median)]
    arrived.sort(key=lambda variant: _arrival(variant).median)
    sentence = _first(comparison, arrived) if arrived else _nobody(comparison)
    return Answer(sentence, (*_caveats(comparison, arrived), *_further(comparison)))


def _further(comparison: Comparison) -> Iterator[str]:
    """What holds whatever the answer is."""
    yield from closed_forms.distances(comparison)
    yield from _ranking(comparison)


def _ranking(comparison: Comparison) -> Iterator[str]:
    """Whether the order hangs on the figures of the devices, where that was asked."""
    found = comparison.sensitivity
    if found is not None and found.stays is not None:
        stays, low, high = map(_format.fraction, (found.stays, found.low, found.high))
        drawn = f"With the figures of the devices drawn {found.draws} times within their ranges"
        first = f"{found.ranking[0]} is first in {_format.fraction(found.first[found.ranking[0]])} of them"
        yield f"{drawn}, {first}, and the whole order stays in {stays} ({low} to {high})."


def _arrival(variant: Variant) -> Spread:
    """Infinite where it is not known: such a variant did not arrive either."""
    return variant.seconds_to_target or Spread(math.inf, math.inf, math.inf)


def _first(comparison: Comparison, arrived: Sequence[Variant]) -> str:
    target, first = show_target(comparison), arrived[0]
    after = f"after {with_range(_arrival(first), first, _format.seconds)}"
    if len(comparison.variants) == 1:
        return f"{first.name} reaches {target} {after}."
    equal = [each.name for each in arrived if _arrival(each).median == _arrival(first).median]
    if len(equal) > 1:
        return f"{listed(equal)} reach {target} at the same time, {after}."
    return f"{first.name} reaches {target} first, {after}{_against(comparison, arrived)}."


def _against(comparison: Comparison, arrived: Sequence[Variant]) -> str:
    """How far the first is ahead of what it is compared with: the scenario's first variant, else the next."""
    first, baseline = arrived[0], comparison.variants[0]
    other = baseline if first is not baseline else arrived[1] if len(arrived) > 1 else None
    if other is None:
        return "; no other does in most of its runs"
    if math.isinf(_arrival(other).median):
        return f"; {other.name} does not in most of its runs"
    when = _format.seconds(_arrival(other).median)
    if (speedup := (first if other is baseline else other).speedup) is None:
        return f"; {other.name} after {when}"
    ratio = speedup if other is baseline else 1 / speedup
    return f", {ratio:.3g} times as fast as {other.name} ({when})"


def _nobody(comparison: Comparison) -> str:
    """No variant arrives in its median run: what comes nearest."""
    target, alone = show_target(comparison), len(comparison.variants) == 1
    most = max(comparison.variants, key=lambda variant: variant.reached or 0)
    count = f"{most.reached} of {len(most.seeds)} runs"
    if most.reached and alone:
        return f"{most.name} reaches {target} in {count} only."
    if most.reached:
        return f"No variant reaches {target} in most of its runs; {most.name} does in {count}."
    name, best = _nearest(comparison)
    if alone:
        return f"{name} does not reach {target}; the best it gets to is {best:.3g}."
    return f"No variant reaches {target}; {name} comes nearest, with {best:.3g} at its best."


def _nearest(comparison: Comparison) -> tuple[str, float]:
    """The variant that gets nearest to the target, and its best value of that metric (median over runs)."""
    metric = next(iter(comparison.target or {}))
    found: dict[str, list[float]] = {}
    for name, run in zip(variant_names(comparison.runs), comparison.runs, strict=True):
        best = run.summary["best"].get(metric)
        found.setdefault(name, []).append(math.nan if best is None else best)
    medians = {name: statistics.median(values) for name, values in found.items()}
    known = {name: value for name, value in medians.items() if not math.isnan(value)} or medians
    choose = min if falls(metric) else max
    name = choose(known, key=lambda each: known[each])
    return name, known[name]


def _caveats(comparison: Comparison, arrived: Sequence[Variant]) -> Iterator[str]:
    yield from seeds(comparison)
    if len(arrived) > 1:
        yield from overlap(arrived[0], arrived[1], _arrival, _format.seconds)
    missed = [variant for variant in comparison.variants if (variant.reached or 0) < len(variant.seeds)]
    if arrived:
        yield from (
            f"{variant.name} reaches the target in {variant.reached or 0} of {_runs(len(variant.seeds))}."
            for variant in missed
        )
    if missed:
        last = _format.seconds(max(variant.virtual_s.high for variant in missed))
        names = listed([variant.name for variant in missed])
        yield f"The runs of {names} ended after {last} at the latest; longer ones may get there."


def _runs(count: int) -> str:
    return f"{count} runs" if count > 1 else "1 run"
