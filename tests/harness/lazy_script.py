"""Scripts in an interpreter of their own that puts off the imports of some modules."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from harness.server import REPOSITORY

PREFACE = """
import json, sys
from lowmem_serve import lazy
lazy.install({words!r}, "app", {directory!r})
sys.path.insert(0, {directory!r})
def loaded(*names): return [name in sys.modules for name in names]
def show(value): print(json.dumps(value))
"""


class LazyScript:
    """Runs scripts beside the modules that it writes into a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(
        self, script: str, words: str = "app,helper", flags: tuple[str, ...] = (), **files: str
    ) -> Any:
        """Writes the files and returns what the script shows; `words` is what `--lazy-imports` says."""
        for name, text in {"heavy": "value = 1\ndef work(): return 'done'\n", **files}.items():
            path = self._directory / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        preface = PREFACE.format(words=words.split(","), directory=str(self._directory))
        finished = subprocess.run(
            [sys.executable, *flags, "-c", preface + dedent(script)],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(REPOSITORY / "python"), "PATH": "/usr/bin:/bin"},
            timeout=170,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        shown = [json.loads(line) for line in finished.stdout.splitlines()]
        return shown[0] if len(shown) == 1 else shown
