"""A scenario to begin with: ten lines that ask whether smaller sub-models on slow devices save time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer

from edgesim import registry, yaml_source
from edgesim.devices.profile import Catalogue
from edgesim.document import Document
from edgesim.errors import InputError, Problem, did_you_mean
from edgesim.results.files import write_text
from edgesim.scenario import resolve_all

T = TypeVar("T")

AT_WORK = 10  # devices of a round, where there are as many


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What the scenario to begin with is about.

    Attributes:
        slow: number of slow devices.
        slow_profile: their device profile.
        fast: number of fast devices.
        fast_profile: their device profile.
        model: what they train on handwritten digits.
        accuracy: at which the task is done, between 0 and 1.
    """

    slow: int = 20
    slow_profile: str = "raspberry-pi-3"
    fast: int = 10
    fast_profile: str = "jetson-orin-nano"
    model: str = "fedavg_cnn"
    accuracy: float = 0.9

    @property
    def question(self) -> str:
        """What the scenario asks."""
        devices = f"{self.slow} slow and {self.fast} fast devices"
        return f"{devices}: does training smaller sub-models on the slow ones finish the task sooner?"

    def text(self, name: str) -> str:
        """The scenario file.

        Args:
            name: of the scenario.
        """
        slow = f"  - {{profile: {self.slow_profile}, count: {self.slow}}}"
        fast = f"  - {{profile: {self.fast_profile}, count: {self.fast}}}"
        at_work = min(AT_WORK, self.slow + self.fast)
        variants = "whole: {submodel: full}, last-layers: {submodel: fedpmt}, narrow: {submodel: heterofl}"
        lines = {
            f"name: {name}": "",
            f"model: {self.model}": "others: edgesim list models",
            "dataset: {name: digits, partition: iid}": "edgesim list datasets, edgesim list partitions",
            "fleet:": "edgesim list devices",
            slow: "slow",
            fast: "fast",
            f"coordination: {{name: synchronous, clients_per_round: {at_work}}}": "wait for all of a round",
            "training: {epochs: 5, batch_size: 48, learning_rate: 0.05}": "of a device in a round",
            f"stop: {{rounds: 100, target: {{accuracy: {self.accuracy:g}}}}}": "whichever comes first",
            f"variants: {{{variants}}}": "",
        }
        shown = (f"{line:<61}# {comment}" if comment else line for line, comment in lines.items())
        return "\n".join([f"# {self.question}", *shown, ""])


def asked() -> Draft:
    """A draft of what the user answers on the terminal; each question has the default as its answer."""
    default = Draft()
    return Draft(
        slow=_ask("How many slow devices", default.slow, _count),
        slow_profile=_ask("Which ones (edgesim list devices)", default.slow_profile, _profile),
        fast=_ask("How many fast devices", default.fast, _count),
        fast_profile=_ask("Which ones", default.fast_profile, _profile),
        model=_ask("Which model (edgesim list models)", default.model, _model),
        accuracy=_ask("At which accuracy is the task done", default.accuracy, _accuracy),
    )


def write(path: Path, draft: Draft) -> None:
    """Write the scenario of a draft into a new file.

    Raises:
        InputError: the file exists or cannot be written, or the draft is no valid scenario.
    """
    if path.exists():
        raise InputError(Problem("is there already; give another name, or remove it", place=str(path)))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:100] or "scenario"
    text = draft.text(name)
    resolve_all(Document(yaml_source.parse(text, str(path)), path.resolve()))
    try:
        write_text(path, text)
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror or error}", place=str(path))) from error


def _ask(question: str, default: T, check: Callable[[str], T]) -> T:
    """The answer to a question, asked again while it is wrong."""

    def convert(given: object) -> T:
        try:
            return check(str(given).strip())
        except InputError as error:
            raise typer.BadParameter(str(error)) from error

    answer: T = typer.prompt(question, default=default, value_proc=convert, err=True)
    return answer


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 1_000_000):
        raise InputError(f'must be a number from 1 to 1000000, got "{text}"')
    return int(text)


def _profile(text: str) -> str:
    Catalogue().load(text)
    return text


def _model(text: str) -> str:
    known = registry.names("models")
    if text not in known:
        raise InputError(f'no model "{text}"{did_you_mean(text, known)} (known: {", ".join(known)})')
    return text


def _accuracy(text: str) -> float:
    try:
        accuracy = float(text)
    except ValueError:
        accuracy = 0.0
    if not 0 < accuracy < 1:
        raise InputError(f'must be a share between 0 and 1, as in 0.9, got "{text}"')
    return accuracy
