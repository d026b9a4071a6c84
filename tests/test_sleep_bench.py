"""A small size of `python benches/sleep.py requests`: every kind of exchange around many sleeps."""

import re
import subprocess
import sys

import pytest

from harness import REPOSITORY, command_line


@pytest.mark.timeout(320)
def test_no_request_is_lost_around_sleeps_recycling_and_kills() -> None:
    script = str(REPOSITORY / "benches" / "sleep.py")
    command = [sys.executable, script, "--binary", command_line()[0], "requests"]
    ran = subprocess.run(
        [*command, "--count", "800", "--clients", "30"], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    sleeps = re.search(r"(\d+) sleeps", ran.stdout)
    assert sleeps and int(sleeps[1]) > 0, ran.stdout
