"""The beginning and the end of a process that was forked from a template to run one function."""

import atexit
import os
import sys


def renew() -> None:
    """Drops what belongs to the template only."""
    # Functions that the application has registered run in the template, not in each process.
    atexit._clear()
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        # Python's own generator is seeded anew by each fork; NumPy's would be the same in all processes.
        numbers.seed()


def flush() -> None:
    """Writes out everything that was printed."""
    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except (AttributeError, OSError, ValueError):
            # There is none, or it is closed.
            continue


def leave(code: int) -> None:
    """Ends the process. The end of an interpreter would write to all pages that it shares with the template."""
    flush()
    os._exit(code)
