"""The digits with one training sample replaced: the stability of a method is how little that changes."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgesim.datasets._dataset import Data
from edgesim.datasets.digits import Digits
from edgesim.registry import component


@component
class ReplacedDigits(Digits):
    """Handwritten digits; one training image gives way to a test image of its class, so that labels stay.

    Attributes:
        replaced: number of the training sample, from 0; absent: none.
    """

    replaced: Annotated[int, Field(ge=0)] | None = None

    def load(self, root: Path | None, download: bool) -> Data:
        """Training samples of which at most one is another; see `Digits.load`."""
        data = super().load(root, download)
        if self.replaced is None:
            return data
        train_x = data.train_x.copy()
        train_x[self.replaced] = data.test_x[(data.test_y == data.train_y[self.replaced]).argmax()]
        return replace(data, train_x=train_x)
