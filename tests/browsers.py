"""The system's own Chromium, where there is one."""

from __future__ import annotations

import os
import shutil

PATH = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox"] if os.getuid() == 0 else []  # as root it refuses to start otherwise
