"""Short turns on the processor for a worker that makes calls: it comes to its turn sooner than what they compute."""

import functools

from lowmem_serve import entered


@functools.cache
def shorten() -> None:
    """Before the first call of a process of the server; one of another server is left as it is."""
    core = entered.core()
    if core is None:
        return
    try:
        core.shorten_turns()
    except OSError:
        # A filter of system calls refuses it, or there is no /proc.
        pass
