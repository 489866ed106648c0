"""WISDM activity recognition v1.1 (Kwapisz, Weiss, Moore 2010): what a phone in the pocket measures.

5 418 examples, each 43 statistics of ten seconds of acceleration, of 36 persons who walk, jog, climb stairs,
sit or stand. One person is one client. For research; cite the authors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgesim.datasets._dataset import Data, Dataset, last_fifth, standardised
from edgesim.datasets._files import Publication, read_one
from edgesim.datasets._papers import WISDM
from edgesim.registry import component

FILE = "WISDM_ar_v1.1_transformed.arff"
MD5 = "fcfb48d764d737bbadf26cb443d7443a"
PUBLISHED = Publication(
    "WISDM",
    "wisdm-ar",
    (FILE,),
    packed="",
    fetched=False,
    about=f"edgesim cannot download {FILE} (md5 {MD5}), which the authors give away for research. ",
)
ACTIVITIES = ("Downstairs", "Jogging", "Sitting", "Standing", "Upstairs", "Walking")
USER, FIRST_FEATURE = 1, 2  # columns, after the number of the example; the last is the activity


@component
class Wisdm(Dataset):
    """Six activities of 36 persons by a phone's accelerometer, [43], normalised per feature in training.

    A missing value (615 dominant periods) becomes 0, the mean of the training examples. The last fifth of
    each person's examples of each activity, in the order of the file, is held out.
    """

    papers = (WISDM,)

    def load(self, root: Path | None, download: bool) -> Data:
        """Read `wisdm-ar/WISDM_ar_v1.1_transformed.arff`; see `Dataset.load`. It cannot be downloaded."""
        raw = read_one(PUBLISHED, MD5, root, download)
        lines = raw.decode().partition("@data")[2].split()
        rows = np.array([line.replace("?", "nan").split(",") for line in lines])
        x = rows[:, FIRST_FEATURE:-1].astype(np.float32)
        y = np.searchsorted(ACTIVITIES, rows[:, -1]).astype(np.int64)
        person = rows[:, USER].astype(np.int64)
        held_out = last_fifth(person, y)
        train_x, test_x = standardised(x[~held_out], x[held_out])
        return Data(train_x, y[~held_out], test_x, y[held_out], len(ACTIVITIES), person[~held_out])
