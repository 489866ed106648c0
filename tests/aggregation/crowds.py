"""Random models and updates: whole, masked, cut at random places, and with tensors left out."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.models._slicing import Place, add_at, gather

SHAPE = (2, 3)
NAMES = ("a", "b")


def _values(shape: tuple[int, ...] = SHAPE) -> st.SearchStrategy[Tensor]:
    """Of which some are zero and some equal; drawn by a seed, as hypothesis is slow at many numbers."""
    return st.integers(0, 2**32).map(lambda seed: _random(seed, shape))


def _random(seed: int, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-30, 31, shape, generator=generator).double() / 0.7


def _masks(shape: tuple[int, ...]) -> st.SearchStrategy[Tensor]:
    count = torch.Size(shape).numel()
    return st.lists(st.booleans(), min_size=count, max_size=count).map(
        lambda row: torch.tensor(row).reshape(shape)
    )


models = st.fixed_dictionaries({name: _values() for name in NAMES})
"""Two small matrices in float64."""


@st.composite
def _indices(draw: st.DrawFn, size: int) -> slice | Tensor:
    kept = sorted(draw(st.sets(st.integers(0, size - 1), min_size=1)))
    prefix = kept[-1] == len(kept) - 1
    return slice(0, len(kept)) if prefix else torch.tensor(kept)


places = st.tuples(*(_indices(size) for size in SHAPE))
"""Prefixes and index sets of both dimensions."""


@st.composite
def updates(draw: st.DrawFn) -> Update:
    """Of one of the tensors or both, each whole or cut, masked or not."""
    values, masks, base, where = {}, {}, {}, {}
    for name in draw(st.sets(st.sampled_from(NAMES), min_size=1)):
        place = draw(st.none() | places)
        shape = SHAPE if place is None else tuple(gather(torch.empty(SHAPE), place).shape)
        values[name], base[name] = draw(_values(shape)), draw(_values(shape))
        if place is not None:
            where[name] = place
        if draw(st.booleans()):
            masks[name] = draw(_masks(shape))
    weight, staleness = float(draw(st.integers(1, 50))), draw(st.integers(0, 20))
    return Update(values, weight, masks, where, staleness=staleness, base=base)


crowds = st.lists(updates(), min_size=1, max_size=4)
"""Updates of one aggregation."""


def trained(update: Update, name: str) -> Tensor:
    """m_i over the whole tensor."""
    mask = torch.zeros(SHAPE)
    if name in update.values:
        values = update.values[name]
        own = update.masks.get(name, torch.ones(values.shape, dtype=torch.bool))
        add_at(mask, update.places.get(name), own.float())
    return mask > 0


def spread(update: Update) -> Update:
    """The same update as whole tensors with masks: the reference that the fast paths are held against."""

    def whole(tensor: Tensor, place: Place | None) -> Tensor:
        full = torch.zeros(SHAPE, dtype=tensor.dtype)
        add_at(full, place, tensor)
        return full

    values, base = (
        {name: whole(tensor, update.places.get(name)) for name, tensor in tensors.items()}
        for tensors in (update.values, update.base)
    )
    masks = {name: trained(update, name) for name in values}
    return replace(update, values=values, base=base, masks=masks, places={})


def returning(update: Update, model: dict[str, Tensor]) -> Update:
    """The same update with the values of a model, from which it started too."""
    held = {name: update.held(name, model[name]).clone() for name in update.values}
    return replace(update, values=held, base=held)


def coverage(aggregator: Aggregator, crowd: list[Update], name: str) -> Tensor:
    """cov of algorithms 1.6, with discounted weights."""
    weights = [aggregator.discounted(update) for update in crowd]
    return sum(w * trained(u, name).double() for w, u in zip(weights, crowd, strict=True)) / sum(weights)


whole_crowds = st.lists(st.builds(Update, models, st.integers(1, 50).map(float)), min_size=1, max_size=4)
"""Updates that trained everything."""


@st.composite
def disjoint_crowds(draw: st.DrawFn) -> list[Update]:
    """Updates of which no two trained the same coordinate; some coordinates nobody trained."""
    crowd = draw(whole_crowds)
    free = dict.fromkeys(NAMES, torch.ones(SHAPE, dtype=torch.bool))
    for index, update in enumerate(crowd):
        masks = {name: draw(_masks(SHAPE)) & free[name] for name in NAMES}
        crowd[index] = replace(update, masks=masks)
        free = {name: free[name] & ~masks[name] for name in NAMES}
    return crowd
