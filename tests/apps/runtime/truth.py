"""The routes, one for each truth, and what several of them look at."""

import contextlib
import contextvars
import os

truths = {}
left_open = []
mark = contextvars.ContextVar("mark", default="unset")


def truth(function):
    truths[f"/{function.__name__}"] = function
    return function


def waited_for_a_cpu():
    """How long, in seconds, the threads of this process have been ready to run and could not, together.

    The second figure of schedstat. What else the machine does is not the loop's fault.
    """
    with os.scandir("/proc/self/task") as threads:
        paths = [os.path.join(thread.path, "schedstat") for thread in threads]
    waited = 0
    for path in paths:
        with contextlib.suppress(OSError), open(path) as file:
            waited += int(file.read().split()[1])
    return waited / 1e9
