"""The status server counts to the request: the run of `benches/status.py counts` with fewer requests.

LOWMEM_COUNTS_REQUESTS=100000 makes it the whole run, of several minutes.
"""

import os
import subprocess
import sys

import pytest

from harness import REPOSITORY
from harness.server import command_line

REQUESTS = int(os.environ.get("LOWMEM_COUNTS_REQUESTS", "4000"))


@pytest.mark.timeout(900)
def test_requests_of_all_kinds_are_counted_over_recycles_and_kills() -> None:
    recycles, kills = (50, 5) if REQUESTS >= 100_000 else (3, 2)
    bench = [sys.executable, str(REPOSITORY / "benches" / "status.py"), "counts", "--binary", *command_line()]
    sizes = ["--requests", str(REQUESTS), "--recycles", str(recycles), "--kills", str(kills)]
    finished = subprocess.run([*bench, *sizes], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    for way in ("HTTP/2", "WSGI", "WebSocket", "pipelined", "one after the other", "a connection each"):
        assert way in finished.stdout
