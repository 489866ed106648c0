"""YAML in, validated model out; for everything that is wrong the file, the line, the key and the remedy."""

import contextlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from edgesim import yaml_source
from edgesim.errors import InputError, Problem, RunFailed, did_you_mean
from edgesim.registry import Named, component
from edgesim.yaml_source import BitsPerSecond, Count, Fraction, Positive, Seconds


def data_of(text: str) -> Any:
    return yaml_source.parse(text, "x.yaml").data


def refusal_of_text(text: str) -> str:
    with pytest.raises(InputError) as caught:
        yaml_source.parse(text, "x.yaml")
    return str(caught.value)


# ---------------------------------------------------------------------------------------------- plain YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1.5", 1.5),
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", 0.0),
        ("1e-400", 0.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_and_constants_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = data_of(f"x: {text}")["x"]
    assert found == value
    assert type(found) is type(value)


TEXTS = """yes no on off y True NULL 0x1f 0o17 1_000 12:30 2026-01-31
.inf .nan inf nan << 1e e5 . + \u0663"""


@pytest.mark.parametrize("text", [*TEXTS.split(), "20 Mbit/s", "1 2"])
def test_everything_else_is_text(text: str) -> None:
    assert data_of(f"x: {text}") == {"x": text}


@pytest.mark.parametrize("text", ["1", "1e-3", "true", "null", "~", ""])
def test_quoted_values_are_text(text: str) -> None:
    assert data_of(f"a: \"{text}\"\nb: '{text}'") == {"a": text, "b": text}


def test_block_text_is_text_even_where_it_looks_like_a_number() -> None:
    assert data_of("a: |\n  5\nb: >-\n  5") == {"a": "5\n", "b": "5"}


def test_keys_are_text() -> None:
    assert data_of("1: a\ntrue: b\nnull: c\n2.50: d") == {"1": "a", "true": "b", "null": "c", "2.50": "d"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n...\n"])
def test_an_empty_document_is_null(text: str) -> None:
    assert data_of(text) is None


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: text\r\n")
    assert yaml_source.read(path).data == {"a": 1, "b": "text"}


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**28), 10**28)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff\ufeff")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(plain)
@settings(deadline=None)
def test_json_is_yaml(value: Any) -> None:
    assert data_of(json.dumps(value, ensure_ascii=False)) == value


@given(plain)
@settings(deadline=None)
def test_what_is_written_is_read_as_the_same(value: Any) -> None:
    assert data_of(yaml_source.dump(value)) == value


@pytest.mark.parametrize(
    "text", ["1e3", "1", ".5", "null", "", "true", "~", "yes", "a: b", "- a", " a", "#", "*a"]
)
def test_text_that_looks_like_something_else_is_written_in_quotes(text: str) -> None:
    assert data_of(yaml_source.dump({text: [text]})) == {text: [text]}


def test_places_are_the_lines_of_the_keys() -> None:
    source = yaml_source.parse("a:\n  b: 1\n  c:\n    - 5\n    - {d: 6}\n", "x.yaml")
    assert source.places == {
        (): "x.yaml:1",
        ("a",): "x.yaml:1",
        ("a", "b"): "x.yaml:2",
        ("a", "c"): "x.yaml:3",
        ("a", "c", 0): "x.yaml:4",
        ("a", "c", 1): "x.yaml:5",
        ("a", "c", 1, "d"): "x.yaml:5",
    }
    assert source.place(("a", "c", 1, "missing", "deeper")) == "x.yaml:5"
    assert source.place(("missing",)) == "x.yaml:1"


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: *c", 'x.yaml:2: b: alias "*c" is not accepted: write the value out'),
        ("a: &c 1", 'x.yaml:1: a: anchor "&c" is not accepted: write the value out'),
        ("&c a: 1", 'x.yaml:1: a: anchor "&c" is not accepted: write the value out'),
        ("a: &c {b: 1}", 'x.yaml:1: a: anchor "&c" is not accepted: write the value out'),
        ("a: !!int 3", 'x.yaml:1: a: tag "tag:yaml.org,2002:int" is not accepted: write plain values'),
        ("a: ! 3", 'x.yaml:1: a: tag "!" is not accepted: write plain values'),
        ("a:\n- !x [1]", 'x.yaml:2: a[0]: tag "!x" is not accepted: write plain values'),
        (
            "!!python/object/apply:os.system [ls]",
            'x.yaml:1: tag "tag:yaml.org,2002:python/object/apply:os.system" '
            "is not accepted: write plain values",
        ),
        ("a: 1\nb: 2\na: 3", "x.yaml:3: a: is given twice; keep one"),
        ("b: {a: 1, 'a': 3}", "x.yaml:1: b.a: is given twice; keep one"),
        ("1: x\n'1': y", "x.yaml:2: 1: is given twice; keep one"),
        ("? [a]\n: 1", "x.yaml:1: a key must be plain text"),
        ("b:\n  {a: 1}: 1", "x.yaml:2: b: a key must be plain text"),
        ("a: 1\n---\nb: 2", "x.yaml:2: starts a second document; keep one"),
        ("a: 1\n---\n", "x.yaml:2: starts a second document; keep one"),
        ("a: 1\n\n  b: 2", "x.yaml:3: is not valid YAML: mapping values are not allowed in this context"),
        (
            "a:\n\t- 1",
            "x.yaml:2: is not valid YAML: found character that cannot start any token; indent with spaces",
        ),
        ("a: @b", "x.yaml:1: is not valid YAML: found character that cannot start any token"),
        ("a: [1, 2\n", "x.yaml:1: is not valid YAML: did not find expected ',' or ']'"),
        ("a: 'b\n", "x.yaml:1: is not valid YAML: found unexpected end of stream"),
        ("%YAML 2.0\n---\na: 1", "x.yaml:1: is not valid YAML: found incompatible YAML document"),
        ("a: " + "9" * 31, "x.yaml:1: a: is absurdly large: 999999999999..."),
        ("a: 1e400", 'x.yaml:1: a: is no finite number: "1e400"'),
        ("a: [1, -1e999]", 'x.yaml:1: a[1]: is no finite number: "-1e999"'),
        ("a: 1\nb: \x00", r'x.yaml:2: holds "\u0000", which is no text; is it a YAML file?'),
        ("a: \x1b[31m", r'x.yaml:1: holds "\u001b", which is no text; is it a YAML file?'),
        ("a: \udcff", r'x.yaml:1: holds "\udcff", which is no text; is it a YAML file?'),
        ('a: "\\0"', r'x.yaml:1: a: holds "\u0000", which is no text'),
        ('a: "\\e[31m"', r'x.yaml:1: a: holds "\u001b", which is no text'),
        ('"\\e": 1', r'x.yaml:1: holds "\u001b", which is no text'),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    assert refusal_of_text(text) == message


def test_every_refusal_of_a_text_is_reported_at_once() -> None:
    text = "a: &x 1\nb: *x\na: 2\nc: !y 1\nd: 1e999\n---\n"
    assert [line[:9] for line in refusal_of_text(text).splitlines()] == [
        "x.yaml:1:",
        "x.yaml:2:",
        "x.yaml:3:",
        "x.yaml:4:",
        "x.yaml:5:",
        "x.yaml:6:",
    ]


def test_what_was_refused_before_a_syntax_error_is_reported_with_it() -> None:
    assert refusal_of_text("a: *b\nc: ]").splitlines() == [
        'x.yaml:1: a: alias "*b" is not accepted: write the value out',
        "x.yaml:2: is not valid YAML: did not find expected node content",
    ]


@pytest.mark.parametrize("bomb", ["[", "{a: ", "- ", "? ", "{? "])
def test_a_nesting_bomb_is_refused_before_it_is_built(bomb: str) -> None:
    limit = yaml_source.MAXIMUM_DEPTH
    assert refusal_of_text(bomb * 100_000).startswith(f"x.yaml:1: is nested more than {limit} levels deep")


def test_nesting_up_to_the_limit_is_accepted() -> None:
    depth = yaml_source.MAXIMUM_DEPTH
    assert data_of("[" * depth + "]" * depth)


def test_a_billion_laughs_are_refused_unheard() -> None:
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    problems = refusal_of_text("\n".join(lines)).splitlines()
    assert len(problems) == 10 + 9 * 10


def test_the_slower_reader_of_pyyaml_gives_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: {b: [1, '2', yes]}\nc: 1e-3\nd: |\n  3\n"
    fast = yaml_source.parse(text, "x.yaml")
    monkeypatch.setattr(yaml_source, "_LOADER", yaml.SafeLoader)
    assert yaml_source.parse(text, "x.yaml") == fast


@given(st.text("ab:-[]{},&*!|>'\"%#?@ \n\t0.e~\\", max_size=40))
@settings(deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        json.dumps(data_of(text), allow_nan=False)


# --------------------------------------------------------------------------------------------------- files


def refusal_of_file(path: Path, name: str | None = "x.yaml") -> str:
    with pytest.raises(InputError) as caught:
        yaml_source.read(path, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("a: caf\xe9".encode("latin-1"), "x.yaml:1: is not text in UTF-8; is it a YAML file?"),
        (b"a: 1\nb: \xff", "x.yaml:2: is not text in UTF-8; is it a YAML file?"),
        ("a: 1".encode("utf-16"), "x.yaml:1: is not text in UTF-8; is it a YAML file?"),
        (b"\x89PNG\r\n\x1a\n\0\0", "x.yaml:1: is not text in UTF-8; is it a YAML file?"),
        (b"\x7fELF\2\1\1\0\0", r'x.yaml:1: holds "\u007f", which is no text; is it a YAML file?'),
        (b"a: 1\0", r'x.yaml:1: holds "\u0000", which is no text; is it a YAML file?'),
        (b"a: 1\n" * 2_500_000, "x.yaml: is larger than 1 MiB and was not parsed"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(raw)
    assert refusal_of_file(path) == message


def test_a_missing_file_a_folder_and_an_absurd_name_cannot_be_read(tmp_path: Path) -> None:
    assert refusal_of_file(tmp_path / "gone.yaml") == "x.yaml: cannot be read: No such file or directory"
    assert refusal_of_file(tmp_path) == "x.yaml: cannot be read: Is a directory"
    assert refusal_of_file(tmp_path / ("x" * 5000)) == "x.yaml: cannot be read: File name too long"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_file_without_permission_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    assert refusal_of_file(path) == "x.yaml: cannot be read: Permission denied"


def test_a_file_is_called_by_its_path_unless_it_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "y.yaml"
    path.write_text("a: *b")
    assert refusal_of_file(path, None).startswith(f"{path}:1: ")


# ---------------------------------------------------------------------------------------------- validation


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Link(Part):
    uplink: BitsPerSecond
    latency: Seconds = 0.0


@component
class Circle:
    radius: Positive = 1.0


@component
class Polygon:
    corners: Count
    sides: tuple[Positive, ...] = ()


SHAPES: dict[str, type[Any]] = {"circle": Circle, "polygon": Polygon}


class House(Part):
    name: str
    rooms: Count = 1
    share: Fraction = 1.0
    heated: bool = False
    colour: Literal["red", "green"] = "red"
    links: list[Link] = []
    extra: dict[str, int] = {}
    shape: Annotated[Circle | Polygon, Named(lambda: SHAPES, "shape")] = Circle()


def house(text: str) -> House:
    return yaml_source.validate(yaml_source.parse(text, "x.yaml"), House)


def refusal_of_house(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        house(text)
    return str(caught.value).splitlines()


def test_a_valid_file_becomes_its_model() -> None:
    text = "name: Ö\nrooms: 3\nlinks: [{uplink: 3 Mbit/s}]\nshape: {name: polygon, corners: 3, sides: [1, 2]}"
    assert house(text) == House(
        name="Ö",
        rooms=3,
        links=[Link.model_validate({"uplink": "3 Mbit/s"})],
        shape=Polygon(corners=3, sides=(1, 2)),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "room: 3",
            'room: unknown key; did you mean "rooms"? (allowed: colour, extra, heated, links, name, ',
        ),
        ("qqq: 3", "qqq: unknown key (allowed: "),
        ('"two\\nlines": 3', r'"two\nlines": unknown key (allowed: '),
        ("rooms: 0", "rooms: must be at least 1, got 0"),
        ("rooms: -1", "rooms: must be at least 1, got -1"),
        ("rooms: 100000001", "rooms: must be at most 100000000, got 100000001"),
        ("rooms: 2.5", "rooms: must be a whole number, got 2.5"),
        ("rooms: 3.0", "rooms: must be a whole number, got 3.0"),
        ("rooms: 1e30", "rooms: must be a whole number, got 1e+30"),
        ('rooms: "3"', 'rooms: must be a whole number, got "3"'),
        ("rooms: true", "rooms: must be a whole number, got true"),
        ("rooms:", "rooms: must be a whole number, got null"),
        (
            "rooms: 123456789012345678901234567890",
            "rooms: must be at most 100000000, got 12345",
        ),
        ("share: .nan", 'share: must be a number, got ".nan"'),
        ("share: .inf", 'share: must be a number, got ".inf"'),
        ("share: -0.0", "share: must be greater than 0, got -0.0"),
        ("share: 1.5", "share: must be at most 1, got 1.5"),
        ("heated: yes", 'heated: must be true or false, got "yes"'),
        ('heated: "False"', 'heated: must be true or false, got "False"'),
        ("heated: 1", "heated: must be true or false, got 1"),
        ("colour: gren", "colour: must be 'red' or 'green', got \"gren\"; did you mean \"green\"?"),
        ("colour: 3", "colour: must be 'red' or 'green', got 3"),
        ("links: {uplink: 3 Mbit/s}", 'links: must be a list, got {"uplink": "3 Mbit/s"}'),
        ("links: [3]", "links[0]: must be a mapping, got 3"),
        ("links: [{}]", "links[0].uplink: is missing, and it is required"),
        ("links: [{uplink: 3}]", "links[0].uplink: needs a unit, as in 20 Mbit/s; got the bare number 3"),
        ("links: [{uplink: 3 Mbit/s, latncy: 3 s}]", 'links[0].latncy: unknown key; did you mean "latency"?'),
        ("extra: {a: x}", 'extra.a: must be a whole number, got "x"'),
        ("extra: {0: x}", 'extra.0: must be a whole number, got "x"'),
        ("extra: [1]", "extra: must be a mapping, got [1]"),
        ("shape: squre", 'shape: no shape "squre"'),
        ("shape: cirkle", 'shape: no shape "cirkle"; did you mean "circle"? (known: circle, polygon)'),
        (
            "shape: {name: cirkle}",
            'shape: no shape "cirkle"; did you mean "circle"? (known: circle, polygon)',
        ),
        ("shape: {radius: 1}", "shape: needs a name, one of: circle, polygon"),
        ("shape: {name: 3}", "shape: needs a name, one of: circle, polygon"),
        ("shape: [circle]", 'shape: must be a name or a mapping with a name, got ["circle"]'),
        ("shape:", "shape: must be a name or a mapping with a name, got null"),
        ("shape: polygon", "shape.corners: is missing, and it is required"),
        ("shape: {name: circle, radius: 0}", "shape.radius: must be greater than 0, got 0"),
        ("shape: {name: circle, corners: 3}", "shape.corners: unknown key (allowed: name, radius)"),
        (
            "shape: {name: circle, rdius: 3}",
            'shape.rdius: unknown key; did you mean "radius"? (allowed: name, ',
        ),
        (
            "shape: {name: polygon, corners: 3, sides: [1, 0]}",
            "shape.sides[1]: must be greater than 0, got 0",
        ),
        ("shape: 'a:B'", 'shape: no shape "a:B" (known: circle, polygon)'),
        ("shape: '?'", 'shape: no shape "?" (known: circle, polygon)'),
    ],
)
def test_a_wrong_value_is_reported_with_line_path_value_and_remedy(line: str, message: str) -> None:
    (problem,) = refusal_of_house(f"name: x\n{line}\n")
    assert problem.startswith(f"x.yaml:2: {message}")


def test_a_missing_key_is_reported_where_its_mapping_begins() -> None:
    assert refusal_of_house("rooms: 1") == ["x.yaml:1: name: is missing, and it is required"]
    assert refusal_of_house("name: x\nlinks:\n  - latency: 1 s") == [
        "x.yaml:3: links[0].uplink: is missing, and it is required"
    ]


def test_all_problems_of_a_file_are_reported_at_once() -> None:
    text = "rooms: 0\nheated: on\nlinks:\n  - uplink: 3\n    latency: -1 s\ncolor: red\nshape: cube"
    assert sorted(problem.partition(": ")[0] for problem in refusal_of_house(text)) == [
        "x.yaml:1",
        "x.yaml:1",
        "x.yaml:2",
        "x.yaml:4",
        "x.yaml:5",
        "x.yaml:6",
        "x.yaml:7",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml:1: must be a mapping of keys to values, but it is empty"),
        ("[1, 2]", "x.yaml:1: must be a mapping of keys to values, but got [1, 2]"),
        ("\n- a", 'x.yaml:1: must be a mapping of keys to values, but got ["a"]'),
        ("just text", 'x.yaml:1: must be a mapping of keys to values, but got "just text"'),
        ("3", "x.yaml:1: must be a mapping of keys to values, but got 3"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(text: str, message: str) -> None:
    assert refusal_of_house(text) == [message]


def test_a_long_value_is_cut_off_in_a_message() -> None:
    (problem,) = refusal_of_house(f"name: x\nrooms: {'y' * 100_000}")
    assert problem == 'x.yaml:2: rooms: must be a whole number, got "' + "y" * 56 + "..."


@given(plain)
@settings(deadline=None)
def test_any_data_is_valid_or_refused(value: Any) -> None:
    for data in (value, {"name": "x", "links": value}, {"name": "x", "shape": value, "extra": value}):
        with contextlib.suppress(InputError):
            yaml_source.validate(yaml_source.Source("x.yaml", data, {}), House)


# -------------------------------------------------------------------------------------------------- errors


def test_a_problem_is_written_as_place_path_message() -> None:
    assert str(Problem("is wrong", "a.b", "x.yaml:3")) == "x.yaml:3: a.b: is wrong"
    assert str(Problem("is wrong", place="x.yaml")) == "x.yaml: is wrong"
    assert str(InputError("one", Problem("two", "b"))) == "one\nb: two"


def test_exit_codes_tell_wrong_input_from_a_failed_run() -> None:
    assert (InputError("x").exit_code, RunFailed("x").exit_code) == (2, 1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pixel6", '; did you mean "pixel-6"?'),
        ("PIXEL-6", '; did you mean "pixel-6"?'),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_nearest_known_name_is_suggested(name: str, hint: str) -> None:
    assert did_you_mean(name, ["raspberry-pi-4", "pixel-6"]) == hint


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("fleet", 1, "profile"), "fleet[1].profile"),
        (("a b", "c.d"), '"a b".c.d'),
        ((), ""),
        ((0, "x"), "[0].x"),
        (("", "x"), '"".x'),
    ],
)
def test_paths_are_written_as_people_write_them(path: tuple[str | int, ...], shown: str) -> None:
    assert yaml_source.show_path(path) == shown


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("# Who is first?\nname: x\n", "Who is first?"),
        ("name: x # Who is first?\n", ""),
        ("\n# Who is first?\n", ""),
        ("", ""),
    ],
)
def test_the_comment_in_the_first_line_is_the_question(text: str, question: str) -> None:
    assert yaml_source.parse(text, "x.yaml").question == question
