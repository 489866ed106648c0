"""Who downloaded, computed, uploaded and waited, and when: the visits of some devices, bar by bar."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Sheet
from matplotlib.patches import Patch
from numpy.typing import NDArray

from edgesim.registry import component
from edgesim.reports import _format
from edgesim.reports.figures import _paper, _rows, _runs, _scale, _style, _visits
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult

DEVICES = 40
"""Rows that a reader can take in, all variants together."""

VISITS = 1000
"""Visits that a browser draws at once; where there are more the timeline ends sooner."""

_COLUMNS = (
    *("variant", "seed", "rank", "profile", "devices", "shown", "device", "dispatch", "submodel", "outcome"),
    *("part", "begin_s", "duration_s", "cut_off", "end_s", "until_s"),
)
_HATCH = "//////"
_VISITS_AT_FIRST = 20  # one after another, in the part that one sees before zooming out


@component
class DeviceTimeline(Figure):
    """The parts of the visits of some devices of each class, the same ones in every variant."""

    title: ClassVar[str] = "Who worked, who waited"
    caption: ClassVar[str] = (
        "One row per device, on the same virtual time for all variants: look for who is waited for (the"
        " others are grey) and whose work is lost (hatched: cut off, late or never merged). Drag to zoom,"
        " double-click for all of it."
    )
    order: ClassVar[int] = 20

    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """A row for each part of a visit.

        Columns `variant`, `seed`, `rank` of the device among those shown, `profile`, `devices` of this
        profile that were ever sent out, `shown` of them, `device`, `dispatch`, `submodel`, `outcome`, `part`,
        `begin_s`, `duration_s`, `cut_off`, `end_s` of the run, and `until_s`, to which visits are given;
        ordered by variant, rank and time.
        """
        runs_of = _runs.one_each(runs)
        visits_of = {name: _visits.visits(run) for name, run in runs_of.items()}
        chosen = _chosen(pd.concat(visits_of.values()), DEVICES // len(runs_of))
        if chosen.empty:
            return None
        frames = [
            _bars(visits_of[name], chosen).assign(
                variant=name, seed=_runs.seed_of(run), end_s=float(run.tables["evaluations"]["time_s"].max())
            )
            for name, run in runs_of.items()
        ]
        return _first(pd.concat(frames, ignore_index=True))[list(_COLUMNS)]

    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """Bars by part of a visit; the beginning at first, all of it by double-click."""
        rows, frame = _laid_out(frame)
        scale = _scale.of_seconds(_window_s(frame))
        entries = _entries(frame)
        drawn = _style.figure(look, 40 + _rows.ROW_PX * rows.length, legend=list(entries))
        for part, lost in itertools.product(_visits.PARTS, (False, True)):
            _add_bars(drawn, frame[(frame["part"] == part) & (frame["lost"] == lost)], scale.base)
        _add_legend(drawn, entries)
        _rows.add_rows(drawn, rows)
        drawn.update_xaxes(
            title_text=f"virtual time, {scale.unit}{_note(frame)}", range=[0, _window_s(frame) / scale.base]
        )
        return drawn.update_layout(barmode="overlay", bargap=0.15)

    @_paper.styled
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """The beginning, on a whole page."""
        rows, frame = _laid_out(frame)
        scale = _scale.of_seconds(_window_s(frame))
        sheet, axes = _paper.sheet(0.7 + _rows.ROW_IN * rows.length, _paper.PAGE_IN)
        for part, lost in itertools.product(_visits.PARTS, (False, True)):
            found = frame[(frame["part"] == part) & (frame["lost"] == lost)]
            axes.barh(
                found["row"],
                found["duration_s"] / scale.base,
                left=found["begin_s"] / scale.base,
                height=0.8,
                color=_paper.phase(part),
                hatch=_HATCH if lost else None,
                edgecolor="white" if lost else "none",
                linewidth=0,
            )
        _rows.paint_rows(axes, rows)
        axes.set_xlim(0, _window_s(frame) / scale.base)
        axes.set_xlabel(f"virtual time, {scale.unit}{_note(frame)}")
        patches = [
            Patch(
                facecolor=_paper.phase(part),
                edgecolor="white",
                hatch=_HATCH if lost else None,
                label=name,
                lw=0,
            )
            for name, (part, lost) in _entries(frame).items()
        ]
        sheet.legend(handles=patches, loc="outside lower center", ncols=len(patches))
        return sheet


def _chosen(visits: pd.DataFrame, at_most: int) -> pd.DataFrame:
    """Some devices of each profile, evenly from that with the longest visits to that with the shortest.

    Returns:
        Columns `device`, `profile`, `devices`, `shown` and `rank`, the slowest profile first.
    """
    busy_s = visits["ended_s"] - visits["dispatched_s"] - visits["paused_s"]
    mean_s = busy_s.groupby([visits["profile"], visits["device"]]).mean()
    slowest_s = mean_s.groupby("profile").median().sort_values(ascending=False)
    profiles = _evenly(slowest_s.index.to_numpy(), at_most)
    found = []
    for number, profile in enumerate(profiles):
        devices = mean_s[profile].sort_values(ascending=False, kind="stable").index.to_numpy()
        share = at_most // len(profiles) + (number < at_most % len(profiles))
        shown = _evenly(devices, max(1, share))
        found.append(
            pd.DataFrame({"device": shown}).assign(profile=profile, devices=len(devices), shown=len(shown))
        )
    if not found:
        return pd.DataFrame({"device": []})
    return pd.concat(found, ignore_index=True).rename_axis("rank").reset_index()


def _evenly(values: NDArray[Any], count: int) -> NDArray[Any]:
    """So many of the values, the first and the last among them; the one in the middle where it is but one."""
    if count >= len(values):
        return values
    last = len(values) - 1
    places = np.linspace(0, last, count) if count > 1 else np.array([last / 2])
    found: NDArray[Any] = values[np.round(places).astype(int)]
    return found


def _bars(visits: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """The bars of the chosen devices, in their order."""
    whose = visits[["dispatch", "device", "submodel", "outcome"]].merge(chosen, on="device")
    bars = _visits.bars(visits[visits["device"].isin(chosen["device"])])
    found: pd.DataFrame = bars.merge(whose, on="dispatch")
    return found.sort_values(["rank", "begin_s"])


def _first(frame: pd.DataFrame) -> pd.DataFrame:
    """The bars of the first visits of all variants, up to a time that is the same for them."""
    begun_s = _begun_s(frame)
    until_s = frame["end_s"].max() if len(begun_s) <= VISITS else begun_s[VISITS]
    begun: pd.DataFrame = frame[frame["begin_s"] < until_s]
    return begun.assign(until_s=until_s)


def _begun_s(frame: pd.DataFrame) -> NDArray[np.float64]:
    """When the visits begin, in order."""
    found: NDArray[np.float64] = frame.groupby(["variant", "dispatch"])["begin_s"].min().to_numpy()
    return np.sort(found)


def _laid_out(frame: pd.DataFrame) -> tuple[_rows.Rows, pd.DataFrame]:
    """The rows, and the table with the row of each bar and whether its work was lost.

    A device has a row in every variant, so that one finds it again, also where it was never sent out.
    """
    devices = frame.drop_duplicates("device").sort_values("rank")
    devices = devices.assign(
        heading=devices.apply(_heading, axis=1), label="#" + devices["device"].astype(str)
    )
    ended = frame["variant"] + ", ends after " + frame["end_s"].map(_format.seconds)
    rows = _rows.laid_out(
        pd.concat([devices.assign(run=run) for run in ended.unique()]), ["run", "heading", "device"], "label"
    )
    keys = zip(
        ended, frame["device"].map(devices.set_index("device")["heading"]), frame["device"], strict=True
    )
    places = [rows.place[run, heading, str(device)] for run, heading, device in keys]
    return rows, frame.assign(row=places, lost=frame["outcome"] != "aggregated")


def _heading(device: pd.Series[Any]) -> str:
    """The profile, and which of its devices are shown."""
    shown, devices = device["shown"], device["devices"]
    if shown == devices:
        return str(device["profile"])
    which = {1: "the median", 2: "slowest and fastest"}.get(shown, "slowest to fastest")
    return f"{device['profile']} ({shown} of {devices}: {which})"


def _window_s(frame: pd.DataFrame) -> float:
    """The end of what one sees first: so little that the parts of a visit can be told apart."""
    visits_s = frame.groupby(["variant", "dispatch"])["duration_s"].sum()
    return float(min(_VISITS_AT_FIRST * visits_s.mean(), frame["until_s"].iloc[0]))


def _note(frame: pd.DataFrame) -> str:
    """Which seed it is, and where not all of the run is there."""
    until_s, end_s = frame["until_s"].iloc[0], frame["end_s"].max()
    part = f"; the first {_format.seconds(until_s)} of {_format.seconds(end_s)}" if until_s < end_s else ""
    return f" (seed {frame['seed'].iloc[0]}{part})"


def _add_bars(drawn: go.Figure, found: pd.DataFrame, divide_by: float) -> None:
    """The bars of one part of a visit, of work that was merged or of work that was lost."""
    if found.empty:
        return
    part, lost = found["part"].iloc[0], bool(found["lost"].iloc[0])
    ended = np.where(found["cut_off"], ", cut off", "")
    drawn.add_bar(
        orientation="h",
        base=found["begin_s"] / divide_by,
        x=found["duration_s"] / divide_by,
        y=found["row"],
        marker={
            "color": _style.PHASES[part],
            "line_width": 0,
            "pattern": _style.hatch(_style.PHASES[part]) if lost else None,
        },
        customdata=np.stack(
            [
                found["dispatch"].astype(str),
                found["submodel"].map(_style.escaped),
                found["outcome"].str.replace("_", " ") + ended,
                found["duration_s"].map(_format.seconds),
            ],
            axis=1,
        ),
        hovertemplate=f"{part} %{{customdata[3]}}<br>visit %{{customdata[0]}}, %{{customdata[1]}}"
        "<br>%{customdata[2]}<extra></extra>",
        showlegend=False,
        legendgroup=part,
    )


def _entries(frame: pd.DataFrame) -> dict[str, tuple[str, bool]]:
    """Entries of the legend: the part whose colour each has, and whether it is hatched."""
    found = {part: (part, False) for part in _visits.PARTS if part in set(frame["part"])}
    return {**found, "not merged": ("waiting", True)} if frame["lost"].any() else found


def _add_legend(drawn: go.Figure, entries: Mapping[str, tuple[str, bool]]) -> None:
    """A square for each entry."""
    for name, (part, lost) in entries.items():
        ground = _style.PHASES[part]
        drawn.add_bar(
            x=[None],
            y=[None],
            name=name,
            legendgroup=name,
            marker={"color": ground, "pattern": _style.hatch(ground) if lost else None},
        )
