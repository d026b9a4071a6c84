"""Which Python a figure was taken with."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

# Debian builds a libpython too, and links its interpreter without it: only the process itself knows.
DESCRIBE = """\
import platform
print(platform.python_version(), "libpython3" in open("/proc/self/maps").read())
"""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter that lowmem-serve can embed."""

    path: Path
    version: str
    shared: bool
    """It has a libpython, which the worker loads; otherwise the worker is the interpreter itself."""

    @property
    def name(self) -> str:
        """The name that its figures are recorded under."""
        return f"CPython {self.version}, {'shared' if self.shared else 'static'}"


def describe(path: Path) -> Python | None:
    """Ask an interpreter what it is; None when it does not run."""
    try:
        asked = subprocess.run([path, "-c", DESCRIBE], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    version, shared = asked.stdout.split()
    return Python(path, version, shared == "True")
