from pathlib import Path

import pytest

from edgesim import yaml_source
from edgesim.devices.fleet import FleetGroup
from edgesim.devices.presence import Presence
from edgesim.errors import InputError
from edgesim.rng import Streams
from tests.devices.fleets import entry

WRONG = [
    ("sometimes", ': no availability "sometimes" (known: always, markov, diurnal, trace)'),
    ("{name: markov, on: 3 min}", ".off: is missing, and it is required"),
    ("{name: markov, on: 3, off: 1 h}", ".on: needs a unit, as in 30 s; got the bare number 3"),
    ("{name: markov, on: 1 ns, off: 1 h}", ".on: must be between 0.001 s and 1e+09 s, got 1e-09 s"),
    ("{name: always, interrupted: no}", ".interrupted: must be 'drop' or 'pause', got \"no\""),
    ("{name: diurnal, session: 1 h}", ": needs either shares, or all of peak, trough and peak_hour"),
    (
        "{name: diurnal, peak: 0.1, trough: 0.2, peak_hour: 4, session: 1 h}",
        ": peak must be at least trough, got 0.1 and 0.2",
    ),
    (
        "{name: diurnal, peak: 0.5, trough: 0.1, peak_hour: 4, session: 20 h}",
        ": session must be shorter than 18 h for the share to rise as it does",
    ),
    (
        "{name: diurnal, peak: 1, trough: 1, peak_hour: 4, session: 20 h}",
        ": needs shares that are neither all 0 nor all 1; use always",
    ),
    ("{name: diurnal, shares: [0.1], session: 1 h}", ".shares: must have at least 24 items, got [0.1]"),
    (
        "{name: trace, file: a.csv, period: 1 h, observations: b.csv}",
        ": give observations or period, not both: the observations have their own lengths",
    ),
]


@pytest.mark.parametrize(("written", "message"), WRONG)
def test_what_a_scenario_may_not_say(written: str, message: str) -> None:
    text = f"profile: raspberry-pi-4\ncount: 1\navailability: {written}\n"
    with pytest.raises(InputError) as caught:
        yaml_source.validate(yaml_source.parse(text, "x.yaml"), FleetGroup)
    assert f"x.yaml:3: availability{message}" in str(caught.value).splitlines()


HEADER = "client,start_s,end_s\n"
FILES = [
    ("client,start,end_s\n1,2,3\n", ': has no column "start_s"; did you mean "start"? (it has client, start'),
    (HEADER, ": has a header and no windows; add some"),
    ("", ": cannot be read: No columns to parse from file"),
    (HEADER + "1,2,3\n1,x,3\n", ':3: start_s: is "x", no finite number; correct it or drop the row'),
    (HEADER + "1,2,3\n\n1,2,3\n", ":3: client: is missing; correct it or drop the row"),
    (HEADER + "1,2,3\n1,2\n", ":3: end_s: is missing; correct it or drop the row"),
    (HEADER + "1,2,inf\n", ':2: end_s: is "inf", no finite number; correct it or drop the row'),
    (HEADER + "1,2,3\n1,5,4\n", ":3: end_s: is before its start_s; exchange them"),
    (HEADER + "1,2,3\n1,5,70\n", ":3: end_s: lies outside the observation; lengthen it or drop the row"),
]


def _refusal(folder: Path, **written: str) -> str:
    availability = {"name": "trace", **written}
    with pytest.raises(InputError) as caught:
        Presence.draw([entry(), entry(1, folder, availability=availability)], Streams(1))
    return str(caught.value)


@pytest.mark.parametrize(("text", "message"), FILES)
def test_what_is_wrong_with_a_trace_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert _refusal(tmp_path, file="a.csv", period="60 s").startswith(f"{tmp_path}/a.csv{message}")


def test_rows_of_parquet_count_from_zero(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"client": [1, 1], "start_s": [0, 5], "end_s": [3.0, None]}).to_parquet(
        tmp_path / "a.parquet"
    )
    message = f"{tmp_path}/a.parquet:row 1: end_s: is missing; correct it or drop the row"
    assert _refusal(tmp_path, file="a.parquet") == message


OBSERVATIONS = "client,trace_start_s,trace_end_s\n"
OBSERVED = [
    ("2,0,60\n", ": has no observation of client 1; one is needed of each with windows"),
    ("1,,60\n", ": has no observation of client 1; one is needed of each with windows"),
    ("1,0,60\n1,0,60\n", ": has two observations of a client; one is needed of each with windows"),
    ("1,60,60\n", ":2: trace_end_s: must be after trace_start_s; correct it"),
    ("1,a,60\n", ':2: trace_start_s: is "a", no finite number; correct it or drop the row'),
]


@pytest.mark.parametrize(("rows", "message"), OBSERVED)
def test_each_client_is_observed_once_and_for_some_time(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "1,2,3\n")
    (tmp_path / "b.csv").write_text(OBSERVATIONS + rows)
    assert _refusal(tmp_path, file="a.csv", observations="b.csv") == f"{tmp_path}/b.csv{message}"


def test_a_file_that_is_not_there_is_reported_at_the_key_that_names_it(tmp_path: Path) -> None:
    message = f"there is no file {tmp_path / 'a.csv'}; correct the path"
    assert _refusal(tmp_path, file="a.csv") == f"fleet[1].availability.file: {message}"
    (tmp_path / "a.csv").write_text(HEADER + "1,2,3\n")
    missing = f"fleet[1].availability.observations: there is no file {tmp_path / 'b.csv'}; correct the path"
    assert _refusal(tmp_path, file="a.csv", observations="b.csv") == missing
    (tmp_path / "a.txt").write_text("")
    assert (
        _refusal(tmp_path, file="a.txt")
        == "fleet[1].availability.file: must be a .csv or .parquet file, got a.txt"
    )
