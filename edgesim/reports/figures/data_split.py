"""Which labels which devices hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Sheet
from numpy.typing import NDArray

from edgesim.registry import component
from edgesim.reports.figures import _paper, _runs, _style
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult

COLUMNS = 200
"""Devices that a picture shows one by one; of larger fleets neighbours of the same profile share a column."""

LABELS = 256
"""With more labels a picture would show nothing."""

_LABELLED = 12  # so many are all named on the axis
_SPLITS = 4  # different splits that are shown, each of its first variant


@component
class DataSplit(Figure):
    """Samples of each label on each device."""

    title: ClassVar[str] = "Who holds which data"
    caption: ClassVar[str] = (
        "Training samples of each class on each device that has any, profile beside profile (of large"
        " fleets the mean over neighbours of the same profile): look for classes that only slow devices"
        " hold."
    )
    order: ClassVar[int] = 70

    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """A row for each column of the picture and each label that is held there.

        Columns `split` (names of the variants that share it), `seed`, `profile`, `column`, `first_device`,
        `devices` in the column, `label` and `samples`, their mean on a device. Null where runs do not know
        it, and with more than `LABELS` labels.
        """
        frames = []
        for variants, run in _distinct(runs).items():
            split = run.tables["data_split"]
            if split.empty or split["label"].nunique() > LABELS:
                return None
            frames.append(_columns(split).assign(split=variants, seed=_runs.seed_of(run)))
        return pd.concat(frames, ignore_index=True) if frames else None

    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """A heat map for each split; blank where a device has nothing of a label."""
        splits = dict(list(frame.groupby("split", sort=False)))
        titles = [_style.escaped(str(name)) for name in splits] if len(splits) > 1 else None
        drawn = _style.figure(look, 340 * len(splits))
        drawn.set_subplots(rows=len(splits), subplot_titles=titles, vertical_spacing=0.2 / len(splits))
        for row, split in enumerate(splits.values(), start=1):
            columns, labels, samples = _matrix(split)
            drawn.add_heatmap(
                x=columns.index,
                y=labels,
                z=samples,
                customdata=np.broadcast_to(_whose(columns)[None, :], samples.shape),
                hovertemplate="%{customdata}<br>class %{y}: %{z:.4g} samples<extra></extra>",
                coloraxis="coloraxis",
                row=row,
                col=1,
            )
            _add_profiles(drawn, columns, row)
        few = frame["label"].nunique() <= _LABELLED
        drawn.update_yaxes(title_text="class", showgrid=False, dtick=1 if few else None)
        return drawn.update_layout(
            coloraxis={
                "colorscale": [[0, _style.faint(_style.BLUE, 0.15)], [1, _style.faint(_style.BLUE, 1)]],
                "cmin": 0,
                "colorbar": {"title": {"text": "samples"}, "thickness": 10, "outlinewidth": 0},
            }
        )

    @_paper.styled
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """The same on paper."""
        splits = dict(list(frame.groupby("split", sort=False)))
        sheet = _paper.sheets(len(splits), 2.2)
        for axes, (name, split) in zip(sheet.axes, splits.items(), strict=True):
            columns, labels, samples = _matrix(split)
            shown = axes.pcolormesh(columns.index, labels, samples, cmap="Blues", vmin=0, rasterized=True)
            places, names, edges = _spans(columns)
            axes.set_xticks(places, names, rotation=90 if len(names) > 3 else 0)
            for edge in edges:
                axes.axvline(edge, color="black", linewidth=0.6)
            axes.grid(visible=False)
            axes.set_ylabel("class")
            axes.set_title(str(name) if len(splits) > 1 else "")
            sheet.colorbar(shown, ax=axes, label="samples")
        return sheet


def _distinct(runs: Sequence[RunResult]) -> dict[str, RunResult]:
    """A run for each split that differs from those before it, by the names of the variants that have it."""
    found: list[tuple[list[str], RunResult]] = []
    for name, run in _runs.one_each(runs).items():
        if "data_split" not in run.tables:
            continue
        same = [
            names for names, other in found if run.tables["data_split"].equals(other.tables["data_split"])
        ]
        if same:
            same[0].append(name)
        else:
            found.append(([name], run))
    return {", ".join(names): run for names, run in found[:_SPLITS]}


def _columns(split: pd.DataFrame) -> pd.DataFrame:
    """The split with devices of a profile beside each other, some to a column where they are many."""
    devices = split[["device", "profile"]].drop_duplicates("device").sort_values("device")
    order = {profile: place for place, profile in enumerate(dict.fromkeys(devices["profile"]))}
    devices = devices.assign(order=devices["profile"].map(order)).sort_values(["order", "device"])
    each = -(-len(devices) // COLUMNS)
    part = devices.groupby("order").cumcount() // each
    devices["column"] = devices.assign(part=part).groupby(["order", "part"]).ngroup()
    groups = devices.groupby("column")["device"]
    devices["devices"], devices["first_device"] = groups.transform("size"), groups.transform("min")
    held = split.drop(columns="profile").merge(devices, on="device")
    keys = ["profile", "column", "first_device", "devices", "label"]
    frame = held.groupby(keys, sort=False)["samples"].sum().reset_index().sort_values(["column", "label"])
    return frame.assign(samples=frame["samples"] / frame["devices"])


def _matrix(split: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.float64]]:
    """The columns, the labels, and the samples [labels, columns], NaN where there are none."""
    columns = split.drop_duplicates("column").set_index("column").sort_index()
    table = split.pivot(index="label", columns="column", values="samples")
    labels = np.arange(table.index.min(), table.index.max() + 1)
    return columns, labels, table.reindex(labels).to_numpy(np.float64)


def _whose(columns: pd.DataFrame) -> NDArray[Any]:
    """What is said of each column where one points at it, [columns]."""
    one = "device " + columns["first_device"].astype(str)
    many = columns["devices"].astype(str) + " devices from " + columns["first_device"].astype(str) + ", mean"
    text = one.where(columns["devices"] == 1, many)
    return (columns["profile"].map(_style.escaped) + ", " + text).to_numpy(dtype=object)


def _spans(columns: pd.DataFrame) -> tuple[list[float], list[str], list[float]]:
    """Of each profile the middle of its columns and its name, and the edges between profiles."""
    spans = columns.reset_index().groupby("profile", sort=False)["column"].agg(["min", "max"])
    middles = ((spans["min"] + spans["max"]) / 2).tolist()
    return middles, [str(name) for name in spans.index], (spans["min"].iloc[1:] - 0.5).tolist()


def _add_profiles(drawn: go.Figure, columns: pd.DataFrame, row: int) -> None:
    """Names of profiles below their devices, and lines between them."""
    places, names, edges = _spans(columns)
    drawn.update_xaxes(
        tickvals=places, ticktext=[_style.escaped(name) for name in names], showgrid=False, row=row, col=1
    )
    for edge in edges:
        drawn.add_vline(x=edge, line_width=1, row=row, col=1)
