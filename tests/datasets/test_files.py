"""A user's own samples are read as they lie; what is wrong with them is said with its place and a remedy."""

import contextlib
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from edgesim.datasets._table import MAXIMUM_BYTES
from edgesim.datasets.files import Files
from edgesim.errors import InputError

X = np.arange(60.0).reshape(20, 3)
Y = np.arange(20) % 2
HEADER = "u,v,label\n"


def load(path, **options):
    return Files(path=path, **options).load(None, download=False)


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        load(path, **options)
    return str(caught.value).replace(f"{path.parent}{os.sep}", "")


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "my.npz", **arrays)
        return tmp_path / "my.npz"

    return write


@pytest.fixture
def text(tmp_path):
    def write(content):
        path = tmp_path / "my.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# ------------------------------------------------------------------------------------- what is read


def test_an_npz_gives_its_samples_classes_and_clients(npz):
    who = np.repeat(["bea", "ada"], 10)
    data = load(npz(x=X.astype(np.uint8), y=Y, test_x=X[:4], test_y=Y[:4], who=who), client="who")
    assert (data.train_x.dtype, data.train_y.dtype, data.clients.dtype) == (np.float32, np.int64, np.int64)
    assert np.array_equal(data.train_x, X)
    assert np.array_equal(data.test_y, Y[:4])
    assert data.classes == 2
    assert data.clients.tolist() == [1] * 10 + [0] * 10


def test_the_array_of_classes_may_have_another_name(npz):
    assert np.array_equal(load(npz(x=X, z=Y, test_x=X, test_y=Y), label="z").train_y, Y)


def test_a_csv_gives_every_other_column_as_a_feature(text):
    lines = [f"{i},{'ab'[i % 2]},{i % 2},{i / 2}" for i in range(20)]
    data = load(text("\n".join(["u,who,kind,v", *lines])), label="kind", client="who")
    assert data.input_shape == (2,)
    both = np.concatenate([data.train_x, data.test_x])
    assert sorted(both.tolist()) == [[i, i / 2] for i in range(20)]
    assert np.array_equal(data.clients, data.train_y)  # a had class 0, b had class 1
    assert np.array_equal(data.train_x[:, 0] % 2, data.train_y)


def test_a_csv_may_have_a_byte_order_mark_quotes_and_carriage_returns(text):
    data = load(text(b'\xef\xbb\xbf"u",label\r\n' + b'"1.5",0\r\n' * 5))
    assert data.train_x.tolist() == [[1.5]] * 4


def test_a_fifth_of_each_class_is_held_out_the_same_every_time(npz):
    y = np.repeat([0, 1, 2], [50, 30, 20])
    x = np.arange(200.0).reshape(100, 2)
    first, second = (load(npz(x=x, y=y, who=np.arange(100)), client="who") for _ in range(2))
    assert np.bincount(first.test_y).tolist() == [10, 6, 4]
    assert np.array_equal(first.test_x, second.test_x)
    assert np.array_equal(first.train_x[:, 0] / 2, first.clients)
    assert sorted([*first.train_x[:, 0], *first.test_x[:, 0]]) == x[:, 0].tolist()


def test_the_path_is_relative_to_the_scenario_and_written_out_whole(tmp_path):
    adapter = TypeAdapter(Files)
    for written, meant in (("a/b.csv", tmp_path / "a/b.csv"), ("/a/b.csv", Path("/a/b.csv"))):
        found = adapter.validate_json(f'{{"path": "{written}"}}', context={"folder": tmp_path})
        assert found.path == meant
        assert adapter.validate_json(adapter.dump_json(found), context={"folder": Path("elsewhere")}) == found


# ------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["there.csv", "there.npz"])
def test_a_file_that_is_not_there_or_a_folder(tmp_path, name):
    assert refused(tmp_path / name) == f"dataset.path: there is no file {name}"
    (tmp_path / name).mkdir()
    assert refused(tmp_path / name) == f"dataset.path: there is no file {name}"


def test_another_kind_of_file(tmp_path):
    assert refused(tmp_path / "my.xlsx") == 'dataset.path: must end in .npz or .csv, got "my.xlsx"'


@pytest.mark.parametrize("name", ["huge.csv", "huge.npz"])
def test_a_file_that_would_not_fit_in_memory_is_not_opened(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(MAXIMUM_BYTES + 1)
    assert refused(path) == f"{name}: is larger than 4 GiB; use fewer samples"


def test_a_small_file_that_unpacks_to_a_huge_one(npz):
    path = npz(x=np.zeros((20, 3)), y=Y)
    raw = path.read_bytes()
    for info in zipfile.ZipFile(path).infolist():
        raw = raw.replace(info.file_size.to_bytes(4, "little"), (3 << 30).to_bytes(4, "little"))
    path.write_bytes(raw)
    assert refused(path) == "my.npz: unpacks to more than 4 GiB; use fewer samples"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": Y[:5]}, "my.npz: y: must have one entry for each of the 20 samples, but its shape is (5,)"),
        (
            {"y": Y[:, None]},
            "my.npz: y: must have one entry for each of the 20 samples, but its shape is (20, 1)",
        ),
        ({"y": Y / 2}, "my.npz: y: must hold whole numbers, but its type is float64; convert it to int64"),
        ({"y": Y - 1}, "my.npz: y: holds class -1; number the classes 0, 1, 2, ..."),
        (
            {"y": Y * 2},
            "my.npz: y: has no class 1, but class 2; number the classes 0, 1, 2, ... without gaps",
        ),
        (
            {"y": np.repeat([0, 1], [17, 3])},
            "my.npz: y: has 3 of class 1, too few to hold out a fifth for testing; give at least 5 of each "
            "class, or an .npz with test_x and test_y",
        ),
        (
            {"x": X[:, 0]},
            "my.npz: x: must be [samples, features] or [samples, channels, ...], but its shape is (20,)",
        ),
        (
            {"x": X[:0]},
            "my.npz: x: must be [samples, features] or [samples, channels, ...], but its shape is (0, 3)",
        ),
        ({"x": X.astype(str)}, "my.npz: x: must hold numbers, but its type is <U32; convert it to float32"),
        (
            {"x": np.where(X == 7, np.nan, X)},
            "my.npz: x: holds nan at [2, 1], no finite float32; replace it or drop the sample",
        ),
        (
            {"x": np.where(X == 7, 1e300, X)},
            "my.npz: x: holds 1e+300 at [2, 1], no finite float32; replace it or drop the sample",
        ),
        (
            {"x": X.astype(object)},
            "my.npz: x: holds pickled Python objects, which are never loaded; save it with numpy.savez as an "
            "array of numbers or text",
        ),
        (
            {"who": Y / 2},
            "my.npz: who: must hold whole numbers or text, but its type is float64; convert it to int64",
        ),
        (
            {"who": Y[1:]},
            "my.npz: who: must have one entry for each of the 20 samples, but its shape is (19,)",
        ),
        ({"test_x": X}, 'my.npz: has no array "test_y"; did you mean "test_x"? (it has x, y, who, test_x)'),
        (
            {"test_x": X[:, :2], "test_y": Y},
            "my.npz: test_x: has samples of shape (2,), but those of x are (3,); they must agree",
        ),
        (
            {"test_x": X, "test_y": Y + 1},
            "my.npz: test_y: has class 2, of which there is no training sample; add some or leave it out",
        ),
    ],
)
def test_what_is_wrong_with_an_array(npz, changed, message):
    assert refused(npz(**{"x": X, "y": Y, "who": Y} | changed), client="who") == message


def test_an_array_that_is_not_there(npz):
    assert refused(npz(x=X, y=Y, who=Y), client="whom") == (
        'my.npz: has no array "whom"; did you mean "who"? (it has x, y, who)'
    )


def test_a_pickle_is_not_loaded_under_the_name_of_an_npz(tmp_path):
    (tmp_path / "my.npz").write_bytes(pickle.dumps(X))
    assert (
        refused(tmp_path / "my.npz")
        == "my.npz: is no .npz file (File is not a zip file); save it with numpy.savez"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=3))
def test_whatever_stands_in_the_header_of_an_array_is_read_or_refused(tmp_path, changes):
    with (tmp_path / "x.npy").open("wb") as file:
        np.save(file, X)
    content = bytearray((tmp_path / "x.npy").read_bytes())
    for place, byte in changes:
        content[place] = byte
    np.savez(tmp_path / "my.npz", y=Y)
    with zipfile.ZipFile(tmp_path / "my.npz", "a") as archive:
        archive.writestr("x.npy", bytes(content))
    with contextlib.suppress(InputError):
        assert load(tmp_path / "my.npz").train_x.dtype == np.float32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "my.csv: is empty; it must start with a line that names its columns"),
        (HEADER, "my.csv: has a header and no samples; add some"),
        ("u,v,lable\n1,2,0\n", 'my.csv: has no column "label"; did you mean "lable"? (it has u, v, lable)'),
        ("u,u,label\n1,2,0\n", 'my.csv:1: names 2 columns "u"; rename or drop all but one'),
        ("label\n0\n", "my.csv: has no columns of features beside label; add some"),
        (HEADER + "1,2,0\n1,zz,0\n", "my.csv:3: v: must be a number, but is 'zz'"),
        (HEADER + "1,2,0\n1,2,0.5\n", "my.csv:3: label: must be a whole number, but is '0.5'"),
        (HEADER + "1,2,0\n1,2,-1\n", "my.csv:3: label: is class -1; number the classes 0, 1, 2, ..."),
        (HEADER + "1,2,0\n,2,0\n", "my.csv:3: u: has no value; fill it in or drop the line"),
        (
            HEADER + "1,2,0\n1,nan,0\n",
            "my.csv:3: v: holds nan, no finite float32; replace it or drop the line",
        ),
        (HEADER + "1,1e300,0\n", "my.csv:2: v: holds 1e+300, no finite float32; replace it or drop the line"),
        (HEADER + "1,2\n", "my.csv:2: Expected 3 columns, got 2: 1,2; one value for each column is needed"),
        (
            HEADER + "1,2,0\n1,2,2\n",
            "my.csv: label: has no class 1, but class 2; number the classes 0, 1, 2, ... without gaps",
        ),
    ],
)
def test_what_is_wrong_with_a_csv(text, content, message):
    assert refused(text(content)) == message


def test_a_header_that_spans_lines(text):
    assert refused(text('"u\nv",label\n' + "1,0\n" * 5)).startswith("my.csv:2: ")


def test_classes_are_no_clients(text, npz):
    for path, name in ((text(HEADER + "1,2,0\n"), "label"), (npz(x=X, y=Y), "y")):
        message = f'dataset.client: is "{name}", which names the classes; choose another'
        assert refused(path, client=name) == message


def test_a_client_without_a_name(text):
    assert refused(text("u,label,who\n1,0,ada\n1,0,\n"), client="who") == (
        "my.csv:3: who: has no value; fill it in or drop the line"
    )


@pytest.mark.parametrize("content", [b"u,label\n\xff,0\n", b"x" * 200_000, b"u,label\n" + b"1" * (1 << 25)])
def test_a_csv_that_is_no_text_of_lines(text, content):
    assert re.match(r"my\.csv: cannot be read as (text of )?comma-separated values: ", refused(text(content)))
