"""Whether this process was entered by the server's shared object. Imports nothing that a worker would not have anyway."""

import sys


def core():
    """Returns `_core` in a process that was entered by it (a worker, its template, what that forks), else None."""
    found = sys.modules.get("lowmem_serve._core")
    # No import has loaded it there.
    return found if found is not None and getattr(found.__spec__, "loader", None) is None else None
