"""A process that was forked from a template to run one function: what it must not have of the template, and its end."""

import atexit
import os
import sys


def renew() -> None:
    """What the template has for itself only."""
    # What the application has registered is the template's to do, not that of each process.
    atexit._clear()
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        # Python's own generator is seeded anew by each fork; NumPy's would be the same in all processes.
        numbers.seed()


def flush() -> None:
    """Has on its way what was printed."""
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
