"""UCI HAR (Anguita et al. 2013): what a phone at the waist measures while one of 30 persons moves or rests.

10 299 windows of 2.56 s at 50 Hz, each half over the next, with nine channels: body acceleration, angular
velocity, total acceleration, along three axes. One person is one client. For research; cite the authors.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np

from edgesim.datasets._dataset import Data, Dataset, last_fifth, standardised
from edgesim.datasets._files import Publication, read_one
from edgesim.datasets._papers import UCI_HAR
from edgesim.registry import component

FILE = "uci_har_inertial.npz"
MD5 = "a4cc431105a724d15656a0871833d70a"
PUBLISHED = Publication(
    "UCI HAR",
    "uci-har",
    (FILE,),
    packed="",
    fetched=False,
    about=f"edgesim cannot download {FILE} (md5 {MD5}); the data set `files` reads windows of your own. ",
)
TEST_PERSONS = (2, 4, 9, 10, 12, 13, 18, 20, 24)  # UCI's own test split


@component
class UciHar(Dataset):
    """Six activities of 30 persons by a phone's motion sensors, [9, 128], normalised per channel.

    Attributes:
        test: what is held out. `windows`: the last fifth of each person's windows of each activity, so that
            all 30 persons train; a split by time, as neighbouring windows overlap. `persons`: all windows of
            nine persons, as UCI splits them; 21 persons train.
    """

    papers = (UCI_HAR,)

    test: Literal["windows", "persons"] = "windows"

    def load(self, root: Path | None, download: bool) -> Data:
        """Read `uci-har/uci_har_inertial.npz`; see `Dataset.load`. It cannot be downloaded."""
        raw = read_one(PUBLISHED, MD5, root, download)
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            x, y, person = arrays["x"], arrays["y"].astype(np.int64), arrays["subject"].astype(np.int64)
        held_out = np.isin(person, TEST_PERSONS) if self.test == "persons" else last_fifth(person, y)
        train_x, test_x = standardised(x[~held_out], x[held_out], axes=(0, 2))
        return Data(train_x, y[~held_out], test_x, y[held_out], classes=6, clients=person[~held_out])
