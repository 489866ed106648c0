"""Whether a run keeps the laws: re-derived from its tables, without the engine that made them.

The laws are those of design section 6, one small function each in `edgesim.results.laws`. Floating sums may
miss by `evidence.TOLERANCE`; everything else must hold exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgesim.results.laws import growth, learning, links, totals, versions, visits
from edgesim.results.laws.evidence import Evidence, Law
from edgesim.results.run import RunResult

LAWS: Sequence[Law] = (
    versions.the_clock_is_monotone,
    visits.dispatches_are_numbered_in_order,
    visits.visits_of_a_device_are_numbered_in_order,
    visits.a_device_does_one_visit_at_a_time,
    visits.phases_add_up,
    visits.outcomes_fit_the_phases,
    visits.traffic_fits_the_phases,
    versions.versions_are_made_one_by_one,
    versions.visits_take_out_the_present_version,
    versions.evaluations_are_of_the_present_version,
    versions.staleness_is_versions_missed,
    versions.aggregations_are_of_their_visits,
    versions.the_policy_keeps_its_bounds,
    versions.the_stop_rule_is_kept,
    totals.every_dispatch_has_one_outcome,
    totals.joules_are_spent_and_not_gained,
    totals.devices_did_their_visits,
    totals.busy_idle_and_absent_are_all_time,
    totals.the_summary_is_of_the_tables,
    links.shared_links_are_never_overloaded,
    links.link_books_are_within_capacity,
    links.bytes_on_the_links_are_bytes_of_visits,
    growth.capacities_never_shrink,
    learning.the_model_learnt,
)
"""All laws, in the order in which they are reported."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one law says of a run.

    Attributes:
        law: its name in words.
        state: whether it holds; skipped where the run has nothing that it is about.
        detail: what was held against it, or the first breach with place and value.
    """

    law: str
    state: Literal["ok", "broken", "skipped"]
    detail: str


def verify(run: RunResult) -> list[Verdict]:
    """Hold a finished run against every law.

    Raises:
        InputError: its scenario is no YAML.
    """
    evidence = Evidence.of(run)
    findings = [(law.__name__.replace("_", " "), law(evidence)) for law in LAWS]
    return [Verdict(name, finding.state, finding.detail) for name, finding in findings]
