"""Stack Overflow by the word (TensorFlow Federated): the next one, each user a client.

    dataset: {name: stackoverflow, path: stackoverflow.sqlite, users: 500, partition: natural}

A user's own copy: TFF's `stackoverflow.sqlite.lzma`, unpacked (`xz --format=lzma -d`), with 136 million
sentences of 342 477 users from before 2018 to train on, and later ones to test with. The preparation is TFF's
(Reddi et al. 2021): a sentence begins and ends with a token of its own and is cut off after so many words,
and rare words are all alike.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._dataset import IGNORED, Data, Dataset
from edgesim.datasets._example_proto import bytes_feature
from edgesim.datasets._table import refuse
from edgesim.errors import InputError, Problem
from edgesim.papers import ADAPTIVE_OPTIMIZATION
from edgesim.registry import component
from edgesim.yaml_source import BesideScenario, Count

PADDING, RARE, BEGIN, END, FIRST_WORD = range(5)

_USERS = (
    "select distinct client_id from client_metadata where split_name = 'train' order by client_id limit ?"
)
_EXAMPLES = (
    "select serialized_example_proto from examples where split_name = ? and client_id = ? "
    "order by rowid limit ?"
)

Tokens = NDArray[np.int64]
Sentence = list[str]


@component
class Stackoverflow(Dataset):
    """The next word, each user a client: tokens [length] from your own copy, with a class for each of them.

    The classes are padding, rare word, begin, end, then words by falling frequency.

    Words are counted in the training sentences that are read. What is predicted is the next token, the end
    included, and nothing (-100) where padding would follow.

    Attributes:
        path: the SQLite file.
        vocabulary: words that are told apart; the other four tokens come on top.
        length: tokens of a sample.
        users: how many are read, the first in the order of their names.
        sentences: of each user at most, for training and again for testing. Every 1 000 users with 128 take
            41 MB of memory for training and as much for testing.
    """

    papers = (ADAPTIVE_OPTIMIZATION,)

    path: BesideScenario
    vocabulary: Count = 10_000
    length: Count = 20
    users: Count = 500
    sentences: Count = 128

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        """Read the sentences; both arguments are without effect, see `Dataset.load`.

        Raises:
            InputError: the file is not there, or is not TFF's.
        """
        train, test = self._read()
        counted = Counter(chain.from_iterable(chain.from_iterable(train)))
        frequent = sorted(counted, key=lambda word: (-counted[word], word))[: self.vocabulary]
        numbers = {word: number for number, word in enumerate(frequent, start=FIRST_WORD)}
        train_x, train_y = self._tokens(list(chain.from_iterable(train)), numbers)
        test_x, test_y = self._tokens(list(chain.from_iterable(test)), numbers)
        clients = np.repeat(np.arange(len(train)), [len(sentences) for sentences in train])
        return Data(train_x, train_y, test_x, test_y, FIRST_WORD + len(frequent), clients)

    def _read(self) -> tuple[list[list[Sentence]], list[list[Sentence]]]:
        """For each user the training sentences, and the same for testing."""
        if not self.path.is_file():
            message = f"there is no file {self.path}; unpack TFF's stackoverflow.sqlite.lzma there"
            raise InputError(Problem(message, path="dataset.path"))
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                users = [user for (user,) in database.execute(_USERS, (self.users,))]
                train, test = (
                    [self._sentences(database, split, user) for user in users] for split in ("train", "test")
                )
        except (sqlite3.Error, ValueError) as error:
            raise refuse(str(self.path), "", f"is not TFF's stackoverflow.sqlite: {error}") from error
        if not any(train) or not any(test):
            message = (
                f"has no sentences to train on and to test with of its first {self.users} users; read more"
            )
            raise refuse(str(self.path), "", message)
        return train, test

    def _sentences(self, database: sqlite3.Connection, split: str, user: str) -> list[Sentence]:
        examples = database.execute(_EXAMPLES, (split, user, self.sentences))
        return [bytes_feature(example, "tokens").decode().split() for (example,) in examples]

    def _tokens(self, sentences: Sequence[Sentence], numbers: Mapping[str, int]) -> tuple[Tokens, Tokens]:
        """What is seen and what comes next, both int64 [sentences, length]."""
        x = np.full((len(sentences), self.length), PADDING, dtype=np.int64)
        y = np.full_like(x, IGNORED)
        for row, words in enumerate(sentences):
            tokens = [BEGIN, *(numbers.get(word, RARE) for word in words), END][: self.length + 1]
            x[row, : len(tokens) - 1] = tokens[:-1]
            y[row, : len(tokens) - 1] = tokens[1:]
        return x, y
