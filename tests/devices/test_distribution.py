import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from edgesim import yaml_source
from edgesim.devices.distribution import Distribution, Drawn, DrawnRate
from edgesim.devices.straggler import Straggler
from edgesim.errors import InputError
from edgesim.rng import Streams

BARE = Drawn()
GAMMA_HALF = 0.886226925452758  # gamma(3/2)

MEANS: list[tuple[dict[str, Any], float]] = [
    ({"dist": "constant", "value": 4}, 4.0),
    ({"dist": "lognormal", "sigma": 0.5}, np.exp(0.125)),
    ({"dist": "lognormal", "sigma": 0.5, "median": 3}, 3 * np.exp(0.125)),
    ({"dist": "normal", "mean": 50, "std": 2}, 50.0),
    ({"dist": "exponential", "mean": 2}, 2.0),
    ({"dist": "uniform", "low": 1, "high": 4}, 2.5),
    ({"dist": "gamma", "shape": 3, "scale": 2}, 6.0),
    ({"dist": "weibull", "shape": 2, "scale": 3}, 3 * GAMMA_HALF),
    ({"dist": "pareto", "shape": 5, "scale": 2}, 2.5),
    ({"dist": "expon", "scale": 2}, 2.0),
    ({"dist": "halfnorm"}, np.sqrt(2 / np.pi)),
    ({"dist": "truncnorm", "a": -1, "b": 1, "loc": 5}, 5.0),
]

laws = st.sampled_from([law for law, _ in MEANS])


@pytest.mark.parametrize(("written", "mean"), MEANS)
def test_mean_is_the_theoretical_one_and_draws_average_to_it(written: dict[str, Any], mean: float) -> None:
    law = BARE.parse(written)
    draws = law.quantile(Streams(1).uniform("draws", np.arange(20_000)))
    assert law.mean() == pytest.approx(mean, rel=1e-12)
    assert draws.mean() == pytest.approx(mean, abs=4 * draws.std() / np.sqrt(len(draws)) + 1e-12)


def test_median_of_a_lognormal_is_its_parameter() -> None:
    assert BARE.parse({"dist": "lognormal", "sigma": 0.7, "median": 3}).quantile(0.5) == pytest.approx(3)


@given(laws, st.lists(st.floats(1e-9, 1 - 1e-9), min_size=1, max_size=40))
def test_scalar_and_vector_draws_are_equal_to_the_last_bit(written: dict[str, Any], u: list[float]) -> None:
    law = BARE.parse(written)
    assert [law.quantile(one).item() for one in u] == law.quantile(u).tolist()


@given(laws)
def test_what_is_shown_parses_to_the_same(written: dict[str, Any]) -> None:
    law = BARE.parse(written)
    assert BARE.parse(json.loads(json.dumps(BARE.show(law)))) == law


@given(laws)
def test_even_the_outermost_draws_are_finite(written: dict[str, Any]) -> None:
    draws = BARE.parse(written).quantile([0, 1])
    assert np.isfinite(draws).all()
    assert (draws > 0).all()


def test_a_bare_number_is_a_constant() -> None:
    assert BARE.parse(4) == Distribution("constant", (("value", 4.0),))


def test_a_rate_has_units_where_it_has_a_dimension() -> None:
    rate = TypeAdapter(DrawnRate)
    law = rate.validate_python({"dist": "lognormal", "median": "31 Mbit/s", "sigma": 0.41})
    assert law == Distribution("lognormal", (("sigma", 0.41), ("median", 31e6)))
    shown = rate.dump_python(law)
    assert shown == {"dist": "lognormal", "sigma": 0.41, "median": "31000000.0 bit/s"}
    assert rate.dump_python(rate.validate_python("2 kB/s")) == "16000.0 bit/s"
    assert rate.validate_python(shown) == law


WRONG_BARE = [
    ({"dist": "lognorml", "sigma": 1}, 'no distribution "lognorml"; did you mean "lognormal"?'),
    (
        {"dist": "lognormal", "sgima": 1},
        'lognormal has no parameter "sgima"; did you mean "sigma"? (it has sigma',
    ),
    ({"dist": "lognormal"}, "lognormal needs sigma"),
    ({"dist": "lognormal", "sigma": "1"}, 'sigma: must be a bare number, got "1"'),
    ({"dist": "lognormal", "sigma": True}, "sigma: must be a bare number, got true"),
    ({"dist": "lognormal", "sigma": -1}, "check the signs and the order of its parameters"),
    ({"dist": "uniform", "low": 3, "high": 2}, "check the signs and the order of its parameters"),
    ({"dist": "normal", "mean": 1, "std": 1}, "can be -6.96: take one that cannot, such as lognormal"),
    (
        {"dist": "norminvgauss", "a": 1.25, "b": 0.5},
        "scipy cannot compute the quantiles of {dist: norminvgauss",
    ),
    ({"dist": "cauchy"}, "must always be more than zero"),
    ({"dist": "pareto", "shape": 0.01, "scale": 1}, "so heavy a tail that draws are infinite"),
    ({"dist": "rv_histogram"}, 'no distribution "rv_histogram"'),
    ({"dist": "__doc__"}, 'no distribution "__doc__"'),
    ({"sigma": 1}, "needs the name of a distribution"),
    (0, "must always be more than zero"),
    (-2, "must always be more than zero"),
    ("fast", 'must be a number or a distribution such as {dist: lognormal, sigma: 0.5}, got "fast"'),
    (None, "got null"),
]


@pytest.mark.parametrize(("written", "message"), WRONG_BARE)
def test_what_is_no_multiplier_is_refused_with_a_remedy(written: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        BARE.parse(written)


WRONG_RATE = [
    ({"dist": "lognormal", "sigma": 1}, "lognormal needs median"),
    ({"dist": "expon"}, "expon needs scale"),
    ({"dist": "expon", "scale": 2}, "scale: needs a unit, as in 20 Mbit/s; got the bare number 2"),
    ({"dist": "exponential", "mean": "2 s"}, 'mean: "2 s" has the wrong dimension'),
    ({"dist": "lognormal", "median": "1 Mbit/s", "sigma": "1 Mbit/s"}, "sigma: must be a bare number"),
    (20, "needs a unit, as in 20 Mbit/s"),
    ("0 Mbit/s", "more than zero"),
]


@pytest.mark.parametrize(("written", "message"), WRONG_RATE)
def test_what_is_no_rate_is_refused_with_a_remedy(written: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TypeAdapter(DrawnRate).validate_python(written)


def test_a_wrong_distribution_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "straggler.yaml"
    path.write_text("probability: 0.1\nslowdown: {dist: lognorml, sigma: 0.5}\n")
    with pytest.raises(InputError) as caught:
        yaml_source.validate(yaml_source.read(path, "x.yaml"), Straggler)
    assert str(caught.value).startswith(
        'x.yaml:2: slowdown: no distribution "lognorml"; did you mean "lognormal"?'
    )
