"""Made-up records in the formats of data sets that are a user's own copy, and the keys that name them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Keys = dict[str, Any]


def own_arrays(folder: Path) -> Keys:
    """Sixty samples of three classes, of two persons."""
    labels = np.arange(60) % 3
    np.savez(
        folder / "own.npz",
        x=np.random.default_rng(0).normal(size=(60, 2, 5)),
        y=labels,
        who=labels % 2,
    )
    return {"path": str(folder / "own.npz"), "client": "who"}


def leaf(folder: Path) -> Keys:
    """Two writers who wrote every character once for training and once for testing."""
    of_writer = [(ink(character), character) for character in range(62)]
    for split in ("train", "test"):
        write_leaf(folder, split, {"f0001_41": of_writer, "f0000_14": of_writer})
    return {"path": str(folder)}


def ink(pixel: int) -> list[float]:
    """A white sheet (1.0) of 28x28 pixels of which one is black."""
    return [float(at != pixel) for at in range(784)]


def write_leaf(folder: Path, split: str, samples: Mapping[str, Sequence[tuple[list[float], int]]]) -> Path:
    """A file as LEAF's split writes it."""
    content = {
        "users": list(samples),
        "num_samples": [len(of_user) for of_user in samples.values()],
        "user_data": {
            user: {"x": [x for x, _ in of_user], "y": [y for _, y in of_user]}
            for user, of_user in samples.items()
        },
    }
    path = folder / split / f"all_data_0_niid_0_keep_0_{split}_9.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def class_folders(folder: Path) -> Keys:
    """Three classes of photographs that are wider than high, as ImageNet has them."""
    for split, photographs in (("train", 2), ("val", 1)):
        for number, wnid in enumerate(("n01443537", "n01784675", "n02002724")):
            (folder / split / wnid).mkdir(parents=True)
            for photograph in range(photographs):
                path = folder / split / wnid / f"{wnid}_{photograph}.JPEG"
                Image.new("RGB", (24, 16), (80 * number, 10 * photograph, 200)).save(path, "JPEG")
    return {"path": str(folder), "side": 8}


def tff_database(folder: Path) -> Keys:
    """Two users of whom both wrote before 2018 and one wrote after."""
    sentences = [
        ("train", "00000007", "how do i sort a list ?"),
        ("train", "00000007", "thanks ."),
        ("train", "00000001", "you sort a list by list . sort ( ) and a loop does it too"),
        ("test", "00000007", "a list of what ?"),
    ]
    return {"path": str(write_database(folder, sentences)), "length": 6}


def write_database(folder: Path, sentences: Sequence[tuple[str, str, str]]) -> Path:
    """TFF's tables with sentences, each with its split and user."""
    path = folder / "stackoverflow.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "create table examples (split_name text, client_id text, serialized_example_proto blob)"
        )
        database.execute("create table client_metadata (client_id text, split_name text, num_examples int)")
        for split, user, words in sentences:
            database.execute("insert into examples values (?, ?, ?)", (split, user, example(tokens=words)))
        for split, user in sorted({(split, user) for split, user, _ in sentences}):
            database.execute("insert into client_metadata values (?, ?, ?)", (user, split, 1))
    return path


def example(tokens: str) -> bytes:
    """A tf.train.Example as TFF stores it, down to the bytes."""
    score = field(1, b"score") + field(2, field(3, field(1, b"\x03")))  # Int64List of one packed number
    title = field(1, b"title") + field(2, field(1, field(1, b"sorting")))
    text = field(1, b"tokens") + field(2, field(1, field(1, tokens.encode())))
    return field(1, field(1, score) + field(1, title) + field(1, text))


def field(number: int, content: bytes) -> bytes:
    """A field with a length, as protocol buffers are written; the length takes seven bits a byte."""
    assert len(content) < 1 << 14
    low, high = len(content) & 0x7F, len(content) >> 7
    return bytes([number << 3 | 2, *([low | 0x80, high] if high else [low])]) + content


COPIES: dict[str, Callable[[Path], Keys]] = {
    "files": own_arrays,
    "femnist": leaf,
    "imagenet100": class_folders,
    "stackoverflow": tff_database,
}
