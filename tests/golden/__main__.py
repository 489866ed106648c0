"""Rewrites the golden timelines: `python -m tests.golden`. Review the difference before it is committed."""

from tests.golden.timelines import TIMELINES, write

for name in TIMELINES:
    write(name)
