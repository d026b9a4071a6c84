"""A small size of `python benches/sleep.py requests`: every kind of exchange around many sleeps."""

import subprocess
import sys

from harness import REPOSITORY, command_line


def test_no_request_is_lost_around_sleeps_recycling_and_kills() -> None:
    script = str(REPOSITORY / "benches" / "sleep.py")
    command = [sys.executable, script, "--binary", command_line()[0], "requests"]
    ran = subprocess.run(
        [*command, "--count", "1500", "--clients", "30"], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
