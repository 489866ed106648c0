"""The law that a model learns."""

from __future__ import annotations

from edgesim.results.laws.evidence import Evidence, Finding, broken, kept, skipped
from edgesim.results.learning import loss_trend


def the_model_learnt(evidence: Evidence) -> Finding:
    """The training loss of merged visits is lower at the end than at the beginning."""
    if evidence.timing_only:
        return skipped("timing only: nothing was trained")
    aggregations = len(evidence.tables["aggregations"])
    if aggregations < 2:
        return skipped(f"{aggregations} aggregations: too few for a trend")
    trend = loss_trend(evidence.visits)
    if trend is None:
        return broken("no visit that was merged has a training loss")
    finding = kept if trend.falls else broken
    return finding(f"the training loss was {trend}")
