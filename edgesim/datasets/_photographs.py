"""Photographs in files as the arrays that networks take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._dataset import normalised
from edgesim.errors import InputError, Problem


def photographs(
    files: Sequence[tuple[str, Path | BinaryIO]], side: int, mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    """Photographs as float32 [n, 3, side, side], normalised per channel.

    One of another size is cut to the largest square in its middle, and that is scaled.

    Args:
        files: what each is called in messages, and where its bytes are.
        side: pixels.
        mean: of each channel, brightness from 0 to 1.
        std: of each channel.

    Raises:
        InputError: one is no picture.
    """
    x = np.empty((len(files), 3, side, side), np.float32)
    for place, (name, file) in enumerate(files):
        x[place] = normalised(_pixels(name, file, side), mean, std)
    return x


def _pixels(name: str, file: Path | BinaryIO, side: int) -> NDArray[np.uint8]:
    """Brightness of red, green and blue, uint8 [3, side, side]."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as picture:
            fitted = ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError) as error:  # what PIL raises for damaged files
        raise InputError(Problem(f"cannot be read as a picture: {error}", place=name)) from error
    return np.asarray(fitted).transpose(2, 0, 1)
