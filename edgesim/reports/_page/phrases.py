"""Parts of sentences that every kind of answer needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from edgesim.reports._statistics import BOOTSTRAP_FROM, Spread
from edgesim.reports.comparison import Comparison, Variant

Show = Callable[[float], str]


def with_range(found: Spread, variant: Variant, show: Show) -> str:
    """A median, with its interval where it has one: `32.5 s (29.3 s to 33.7 s over 3 seeds)`."""
    count, median, between = len(variant.seeds), show(found.median), _between(found, show)
    if between == median:
        return median
    if count < BOOTSTRAP_FROM:
        return f"{median} ({between} over {count} seeds)"
    return f"{median} (95 % interval {between}, {count} seeds)"


def _between(found: Spread, show: Show) -> str:
    low, high = show(found.low), show(found.high)
    return low if low == high else f"{low} to {high}"


def seeds(comparison: Comparison) -> Iterator[str]:
    """That one seed says little, where there is one."""
    if any(len(variant.seeds) == 1 for variant in comparison.variants):
        yield "One seed is an anecdote: --seeds 1,2,3 shows how much of this is chance."


def overlap(first: Variant, second: Variant, of: Callable[[Variant], Spread], show: Show) -> Iterator[str]:
    """Whether the seeds decide between two variants; nothing where one of them has a single seed."""
    if min(len(first.seeds), len(second.seeds)) == 1:
        return
    one, other = of(first), of(second)
    ranges = f"{_between(one, show)} and {_between(other, show)}"
    if one.low <= other.high and other.low <= one.high:
        undecided = "these seeds do not decide between the two"
        yield f"The ranges of {first.name} and {second.name} overlap ({ranges}): {undecided}."
    else:
        yield f"The ranges of {first.name} and of the next, {second.name}, lie apart ({ranges})."


_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:[kMGTPE]?(?:B|J|W|FLOP/s|bit/s)|ms|s|min|h|d|%|times|seeds)\b|%)")
_EXPONENT = re.compile(r"(?<=\de)-(?=\d)")


def unbroken(text: str) -> str:
    """Text in which no line breaks within a number, or between it and its unit."""
    return _EXPONENT.sub("\N{NON-BREAKING HYPHEN}", _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text))


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def show_target(comparison: Comparison) -> str:
    """The metric and the value to be reached: `accuracy 0.9`."""
    return ", ".join(f"{metric} {value:g}" for metric, value in (comparison.target or {}).items())
