"""What ends the runner, or one graph of it, with one clear line and no traceback."""

from __future__ import annotations


class RunnerError(Exception):
    """The message is one line: what is wrong, where, and what to do about it."""

    exit_code = 2


class BrokenBundle(RunnerError):  # noqa: N818  (the names say what happened)
    """Something is no bundle, or not as its manifest says."""


class BadTimings(RunnerError):  # noqa: N818
    """A file holds no timings, or others than those that are made now."""


class Unusable(RunnerError):  # noqa: N818
    """An option or a package does not serve here."""


class NotWritten(RunnerError):  # noqa: N818
    """A result could not be put on disk."""

    exit_code = 1


class ChildFailed(RunnerError):  # noqa: N818
    """A child process gave no answer."""

    exit_code = 1
