"""Shakespeare by the character: the next one after 80, each role a client (LEAF; Caldas et al. 2018).

The text is "tinyshakespeare" (karpathy/char-rnn, 1 115 394 characters of plays), a quarter of what LEAF has.
A role is what stands before a speech, so that a "First Citizen" joins speakers of several plays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import Field

from edgesim.datasets._dataset import HELD_OUT, Data, Dataset
from edgesim.datasets._files import Publication, read_one
from edgesim.errors import InputError, Problem
from edgesim.papers import LEAF
from edgesim.registry import component
from edgesim.yaml_source import Count

FILE = "input.txt"
MD5 = "6fb458f1232090904fb40fe944165e91"
PUBLISHED = Publication(
    "Shakespeare",
    "shakespeare",
    (FILE,),
    packed="",
    fetched=False,
    about=f"{FILE} (md5 {MD5}) is data/tinyshakespeare/{FILE} of karpathy/char-rnn on GitHub. ",
)
LENGTH = 80  # characters that are seen
LEAST = HELD_OUT * (LENGTH + 1)  # characters of a role of which the last fifth makes one sample


@component
class Shakespeare(Dataset):
    """The next character after 80, each role a client: tokens [80], 65 classes.

    The classes are the distinct characters of the whole text in their order.

    The speeches of a role are joined by line breaks. The last fifth of a role's text is for testing; no
    sample reaches across that cut.

    Attributes:
        minimum_characters: roles with less text are left out, as LEAF drops tiny ones; 141 of 299 stay.
        stride: characters from one sample of a role to its next; LEAF takes every one, 1.
    """

    papers = (LEAF,)

    minimum_characters: Annotated[int, Field(ge=LEAST)] = 1000
    stride: Count = 10

    def load(self, root: Path | None, download: bool) -> Data:
        """Read `shakespeare/input.txt`; see `Dataset.load`. It cannot be downloaded.

        Raises:
            InputError: no role has so much text; or see `Dataset.load`.
        """
        raw = read_one(PUBLISHED, MD5, root, download)
        characters = np.unique(np.frombuffer(raw, np.uint8))
        train, test = [], []
        for said in speeches(raw.decode("ascii")).values():
            if len(said) >= self.minimum_characters:
                tokens = np.searchsorted(characters, np.frombuffer(said.encode(), np.uint8))
                cut = tokens.size - tokens.size // HELD_OUT
                train.append(self._windows(tokens[:cut]))
                test.append(self._windows(tokens[cut:]))
        if not train:
            message = f"no role has {self.minimum_characters} characters; ask for fewer"
            raise InputError(Problem(message, path="dataset.minimum_characters"))
        clients = np.repeat(np.arange(len(train)), [len(windows) for windows in train])
        return Data(*_before_and_next(train), *_before_and_next(test), characters.size, clients)

    def _windows(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Stretches of 80 tokens and the one that follows, int64 [n, 81]."""
        return sliding_window_view(tokens, LENGTH + 1)[:: self.stride]


def _before_and_next(windows: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The characters that are seen, [n, 80], and those that follow, [n]."""
    together = np.concatenate(windows)
    return np.ascontiguousarray(together[:, :-1]), np.ascontiguousarray(together[:, -1])


def speeches(text: str) -> dict[str, str]:
    """All that each role says, in the order of the text; a speech is a paragraph under `ROLE:`."""
    said: dict[str, list[str]] = defaultdict(list)
    for paragraph in re.split("\n{2,}", text.strip()):
        role, _, speech = paragraph.partition("\n")
        if speech:
            said[role.removesuffix(":")].append(speech)
    return {role: "\n".join(parts) for role, parts in said.items()}
