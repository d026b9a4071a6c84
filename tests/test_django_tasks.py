"""The queue as Django's task backend: Django 6, which needs Python 3.12."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.server import APPS, REPOSITORY

pytest.importorskip("django.tasks", reason="Django 6")


def test_djangos_tasks_run_in_processes_of_their_own(server, tmp_path: Path) -> None:
    env = {
        "DJANGO_SETTINGS_MODULE": "django_tasks_settings",
        "PYTHONPATH": f"{REPOSITORY / 'python'}:{APPS}",
        "LOWMEM_STATE_DIR": str(tmp_path),
    }
    flags = ("--queue", "--queue-retries", "0")
    started = server("--jobs-only", *flags, env=env, wait=False, places=False)
    started.stderr.wait_for_line("and a queue")
    script = [sys.executable, str(APPS / "django_tasks_script.py")]
    finished = subprocess.run(script, env={**os.environ, **env}, capture_output=True, text=True, timeout=150)
    assert finished.returncode == 0, finished.stderr + started.output
    assert json.loads(finished.stdout) == {
        "values": [3, 4, 1],
        "failed": ["FAILED", "ValueError", "ValueError: on purpose"],
        "later": "READY",
        "missing": True,
    }
