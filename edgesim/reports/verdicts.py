"""What `edgesim verify` prints: a line per law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesim.results.verification import Verdict


def is_kept(verdicts: Sequence[Verdict]) -> bool:
    """Whether no law is broken."""
    return all(verdict.state != "broken" for verdict in verdicts)


def render(verdicts: Sequence[Verdict], run: Path) -> str:
    """A line per law, `state law: detail`, and a last one with the counts."""
    lines = [f"{verdict.state:<7} {verdict.law}: {verdict.detail}" for verdict in verdicts]
    states = Counter(verdict.state for verdict in verdicts)
    counts = ", ".join(f"{states[state]} {state}" for state in ("ok", "broken", "skipped") if states[state])
    return "\n".join([*lines, "", f"{run}: {counts}"])


def to_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Whether all laws hold, and what each says."""
    return {"kept": is_kept(verdicts), "laws": [asdict(verdict) for verdict in verdicts]}
