"""Start of the stand-alone runner; written so that old Pythons can parse it and say that they are old."""

import os
import sys

if sys.version_info < (3, 9):  # noqa: UP036
    sys.stderr.write(
        "This bundle needs Python 3.9 or newer, and this is Python "
        + ".".join(str(part) for part in sys.version_info[:3])
        + ": start it with a newer one, as in: python3.11 "
        + sys.argv[0]
        + "\n"
    )
    sys.exit(2)

from edgesim.profiling.runner import command

if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:], os.path.dirname(os.path.abspath(__file__))))
