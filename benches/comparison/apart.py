"""The driver runs on its own copy of Python's code.

Servers and driver would map the same libpython (or the same static executable), and PSS
would then charge half of its pages to the driver: every Python server would look lighter
than it is on its own, and by a different amount each. So the driver starts itself once more
from a copy of the files, which is a different inode and shares no page with them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import weigh

COPY = "LOWMEM_BENCH_PYTHON_COPY"
"""Environment variable that names the folder of the copy, in the second start."""


def step_apart() -> None:
    """Replace this process by one that runs a copy of Python; return at once in that one."""
    if folder := os.environ.pop(COPY, None):
        os.environ.pop("LD_PRELOAD", None)  # not for the servers
        shutil.rmtree(folder, ignore_errors=True)  # mapped already; the name is not needed
        return
    folder = tempfile.mkdtemp(prefix="lowmem-bench-")
    executable = shutil.copy(os.path.realpath(sys.executable), folder)
    environment = os.environ | {COPY: folder}
    libraries = [path for path in weigh.mapped_libraries(os.getpid()) if _is_libpython(path)]
    if libraries:
        # By LD_PRELOAD and not LD_LIBRARY_PATH: a build's RPATH outranks the latter.
        environment["LD_PRELOAD"] = shutil.copy(libraries[0], folder)
    sys.stdout.flush()
    # argv[0] stays the original path: Python finds its standard library from it.
    os.execve(executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _is_libpython(path: str) -> bool:
    return Path(path).name.startswith("libpython3")
