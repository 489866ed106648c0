"""What each variant would cost on each class of devices, before anything is trained: a table and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from edgesim.planning import ClassPlan, HostEstimate, VariantPlan
from edgesim.reports import _format, _seconds
from edgesim.reports._text import to_text


def to_json(plans: Sequence[VariantPlan]) -> dict[str, Any]:
    """The plans in base units."""
    return {"variants": [asdict(plan) for plan in plans]}


def render(plans: Sequence[VariantPlan], width: int | None = None) -> str:
    """The plans as plain text."""
    return to_text(_parts(plans), width)


def _parts(plans: Sequence[VariantPlan]) -> Iterator[RenderableType]:
    for plan in plans:
        yield f"{plan.variant}: one visit, expected, without jitter, slowdown, absence and sharing of links"
        yield _table(plan.classes)
        yield _seconds.sentence(_bases(plan.classes), "devices")
        yield from plan.notes
        yield _host(plan.host)
        yield ""


def _bases(classes: Sequence[ClassPlan]) -> Counter[str]:
    """Of how many devices the seconds are known in which way."""
    found: Counter[str] = Counter()
    for row in classes:
        found[row.cost_basis] += row.devices
    return found


def _table(classes: Sequence[ClassPlan]) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column("devices")
    table.add_column("sub-model")
    headings = ("bytes down", "bytes up", "memory", "download", "compute", "upload")
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_column("bottleneck")
    for row in classes:
        table.add_row(
            f"{row.devices} {row.profile}",
            row.submodel,
            _format.size(row.bytes_down),
            _format.size(row.bytes_up),
            f"{_format.size(row.memory_bytes)} of {_format.size(row.memory_available_bytes)}",
            _format.seconds(row.download_s),
            _format.seconds(row.compute_s),
            _format.seconds(row.upload_s),
            row.bottleneck if row.bottleneck != "memory" else "does not fit in memory",
        )
    return table


def _host(host: HostEstimate) -> str:
    a_round = f"{_format.seconds(host.round_wall_s)} a round"
    if host.wall_s is None or host.virtual_s is None:
        return f"Here: about {a_round}; only the target ends the run."
    return (
        f"Here: about {_format.seconds(host.wall_s)} ({a_round}) for {_format.seconds(host.virtual_s)} of"
        f" virtual time and {host.visits} trained visits; less where the target is reached earlier."
    )
