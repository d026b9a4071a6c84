"""Short turns on the processor for a worker that makes calls: it comes to its turn sooner than what they compute."""

import functools
import sys


@functools.cache
def shorten() -> None:
    """Before the first call of a process of the server; one of another server is left as it is."""
    core = sys.modules.get("lowmem_serve._core")
    # A worker is entered by its shared object, which no import has loaded there.
    if core is None or getattr(core.__spec__, "loader", None) is not None:
        return
    try:
        core.shorten_turns()
    except OSError:
        # A filter of system calls refuses it, or there is no /proc.
        pass
