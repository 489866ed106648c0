"""What the runner shows on stderr, and what it understands on its command line."""

import io
from pathlib import Path

import pytest

from edgesim.profiling.runner import options
from edgesim.profiling.runner.errors import Unusable
from edgesim.profiling.runner.progress import CLEAR_LINE, Progress, brief, duration
from edgesim.profiling.runner.reading import open_bundle
from tests.profiling import bundles


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    writes = 0

    def write(self, _text: str) -> int:
        self.writes += 1
        raise BrokenPipeError


def test_a_file_gets_one_line_per_graph_with_the_time_left() -> None:
    stream, now_s = io.StringIO(), [0.0]
    progress = Progress(3, stream, lambda: now_s[0])
    for title in ("a", "b", "c"):
        progress.working(title)
        now_s[0] += 60
        progress.finished(title, "5 ms")
    assert stream.getvalue() == ("1/3 a: 5 ms, 2 min 00 s left\n2/3 b: 5 ms, 1 min 00 s left\n3/3 c: 5 ms\n")


def test_the_time_left_runs_down_while_a_graph_is_timed() -> None:
    now_s = [0.0]
    progress = Progress(3, None, lambda: now_s[0])
    assert progress.left_s() is None
    now_s[0] = 10
    progress.finished("a", "")
    now_s[0] = 14
    assert progress.left_s() == 16
    now_s[0] = 100
    assert progress.left_s() == 10  # one graph is still to come, at least


def test_a_terminal_gets_a_bar_that_lines_replace() -> None:
    stream = Terminal()
    progress = Progress(2, stream, lambda: 0.0)
    progress.working("a")
    progress.finished("a", "5 ms")
    progress.working("b")
    bars = stream.getvalue().split(CLEAR_LINE)
    assert bars[1:3] == ["[........................] 0/2, now a", "1/2 a: 5 ms\n"]
    assert bars[3].startswith("[############............] 1/2")


def test_a_closed_stderr_is_left_alone() -> None:
    stream = ClosedPipe()
    progress = Progress(2, stream)
    progress.finished("a", "")
    progress.finished("b", "")
    assert stream.writes == 1


def test_seconds_read_well() -> None:
    assert [duration(seconds) for seconds in (41.2, 185, 7380)] == ["41 s", "3 min 05 s", "2 h 03 min"]
    assert [brief(seconds) for seconds in (1.5, 0.0123456, 8.8e-6)] == ["1.5 s", "12.3 ms", "8.8 us"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "0"], "argument --budget: '0' is no number above 0"),
        (["--precision", "nan"], "argument --precision: 'nan' is no number above 0"),
        (["--threads", "two"], "argument --threads: 'two' is no whole number from 1 on"),
        (["--cores", "0-3"], "argument --cores: '0-3' is no list of cores such as 0,1"),
    ],
)
def test_a_wrong_option_is_explained(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        options.parser("b.zip").parse_args(arguments)
    assert said in capsys.readouterr().err


def test_a_core_that_is_not_there_is_refused() -> None:
    given = options.parser("b.zip").parse_args(["--cores", "0,4096"])
    with pytest.raises(Unusable, match="--cores: this process may run on the cores"):
        options.settings(given, None)


def test_a_power_file_that_holds_no_number_is_refused(tmp_path: Path) -> None:
    given = options.parser("b.zip").parse_args(["--power-file", str(tmp_path)])
    with pytest.raises(Unusable, match="holds no whole number of microwatts"):
        options.settings(given, None)


def test_threads_are_as_many_as_the_cores_unless_given() -> None:
    one = options.settings(options.parser("b").parse_args(["--cores", "0"]), None)
    both = options.settings(options.parser("b").parse_args(["--cores", "0", "--threads", "3"]), None)
    assert (one.affinity, one.threads, both.threads) == ((0,), 1, 3)


def test_graphs_are_chosen_by_shape_label_and_kind(tmp_path: Path) -> None:
    bundle = open_bundle(str(bundles.folder(tmp_path)))

    def chosen(*arguments: str) -> list[tuple[str, str]]:
        given = options.parser("b").parse_args(arguments)
        return [(graph.shape, graph.kind) for graph in options.chosen(bundle, given)]

    assert len(chosen()) == 4
    assert chosen("--only", "aa11") == [("aa11", "step"), ("aa11", "inference")]
    assert chosen("--only", "whole", "--graphs", "step") == [("bb22", "step")]
    assert len(chosen("--only", "half", "--only", "bb22")) == 4
    with pytest.raises(Unusable, match=r'no shape or label "whol" in this bundle; did you mean "whole"\?'):
        chosen("--only", "whol")
