"""FedBuff's deltas (algorithms 3.13 and 7b; P25)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation._server_optimizer import ServerSgd
from edgesim.aggregation._staleness import Poly
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.delta import Delta
from edgesim.aggregation.fill import Fill
from tests.aggregation.merging import merged
from tests.scenarios import BASE, refusal

HALF = Poly(exponent=0.5)  # s(3) = 1/2
NOW = {"w": torch.full((3,), 10.0, dtype=torch.float64)}


def client(base: list[float], returned: list[float], weight: float = 1.0, **more: object) -> Update:
    values, downloaded = ({"w": torch.tensor(row, dtype=torch.float64)} for row in (returned, base))
    return Update(values, weight, base=downloaded, **more)


def after(rule: Delta, *updates: Update) -> list[float]:
    return merged(rule, NOW, updates)["w"].tolist()


def mask(*trained: bool) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor(trained)}


def test_what_a_client_changed_is_added_to_the_model_as_it_is_now() -> None:
    assert after(Delta(), client([0, 1, 2], [4, 1, 0])) == [14, 10, 8]


def test_two_clients_by_hand() -> None:
    old = client([0, 0, 0], [4, 4, 4], masks=mask(True, True, False), staleness=3)
    fresh = client([10, 10, 10], [12, 99, 99], masks=mask(True, False, False))
    # First: (1/2*4 + 2) / 2. Second: the old one alone, and yet 1/2*4. Third: nobody.
    assert after(Delta(staleness=HALF), old, fresh) == [12, 12, 10]
    # The same without a divisor.
    assert after(Delta(reduction="sum", weights="equal", staleness=HALF), old, fresh) == [14, 12, 10]


def test_the_divisor_under_mean_is_the_weight_without_its_discount() -> None:
    old = client([0, 0, 0], [8, 8, 8], weight=1.0, staleness=3)
    fresh = client([0, 0, 0], [4, 4, 4], weight=3.0)
    assert after(Delta(staleness=HALF), old, fresh) == [14] * 3  # (1/2*1*8 + 3*4) / (1 + 3)
    assert after(Delta(staleness=HALF), old) == [14] * 3  # alone: half a step


def test_the_servers_learning_rate_scales_the_step() -> None:
    rule = Delta(server_optimizer=ServerSgd(learning_rate=0.5))
    assert after(rule, client([0, 1, 2], [4, 1, 0])) == [12, 10, 9]


def test_a_cut_is_measured_against_the_cut_that_was_downloaded() -> None:
    cut = client([1, 1], [3, 0], places={"w": (torch.tensor([0, 2]),)})
    assert after(Delta(), cut) == [12, 10, 9]


def test_each_coordinate_is_divided_by_the_updates_that_cover_it() -> None:
    """A mask, a cut and a masked cut; the weights are one, so that the divisor is their number."""
    masked = client([0, 0, 0], [6, 9, 9], masks=mask(True, False, False))
    cut = client([1, 1], [3, 5], places={"w": (torch.tensor([0, 2]),)})
    masked_cut = client([2, 2], [3, 9], places={"w": (slice(0, 2),)}, masks=mask(True, False))
    # First: (6 + 2 + 1) / 3. Second: nobody. Third: the cut alone, 4 / 1.
    assert after(Delta(), masked, cut, masked_cut) == [13, 10, 14]


def test_a_tensor_is_divided_by_those_who_sent_it() -> None:
    before = {name: torch.zeros(1) for name in ("low", "high")}
    both = Update({"low": torch.tensor([4.0]), "high": torch.tensor([2.0])}, 1.0, base=before)
    suffix = Update({"high": torch.tensor([6.0])}, 3.0, base=before)
    found = merged(Delta(), before, [both, suffix])
    assert (found["low"].item(), found["high"].item()) == (4, 5)


values = st.lists(st.floats(-100, 100), min_size=3, max_size=3).map(
    lambda row: torch.tensor(row, dtype=torch.float64)
)
crowds = st.lists(
    st.builds(Update, st.fixed_dictionaries({"w": values}), st.integers(1, 50).map(float)),
    min_size=1,
    max_size=5,
)


@given(before=values, crowd=crowds)
def test_a_buffer_of_fresh_updates_is_fedavg(before: torch.Tensor, crowd: list[Update]) -> None:
    now = {"w": before}
    started = [replace(update, base=now) for update in crowd]
    assert torch.equal(merged(Delta(), now, started)["w"], merged(Covered(), now, crowd)["w"])
    equal = [replace(update, weight=1.0) for update in started]
    mean = sum(update.values["w"] for update in crowd) / len(crowd)
    assert torch.allclose(merged(Delta(), now, equal)["w"], mean, rtol=1e-12, atol=1e-10)


def test_statistics_are_averaged_with_discounted_weights() -> None:
    before = {"running_var": torch.tensor([1.0])}
    crowd = [
        Update({"running_var": torch.tensor([value])}, 1.0, statistics=frozenset(before), staleness=age)
        for value, age in ((4.0, 3), (1.0, 0))
    ]
    assert merged(Delta(staleness=HALF), before, crowd)["running_var"].item() == 2  # (1/2*4 + 1*1) / (3/2)


def test_an_update_without_its_base_is_an_error() -> None:
    assert Delta.needs_base
    assert not Fill.needs_base
    with pytest.raises(KeyError):
        merged(Delta(), NOW, [Update({"w": torch.zeros(3)}, 1.0)])


def test_a_sum_over_samples_is_refused() -> None:
    (line,) = refusal(f"{BASE}aggregation: {{name: delta, reduction: sum}}\n")
    assert line.startswith("x.yaml:10: aggregation: ")
    assert line.endswith(
        "reduction: sum multiplies steps by the clients' samples; add weights: equal, or take mean"
    )
