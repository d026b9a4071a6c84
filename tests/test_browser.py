"""A real browser: fetch streams, server-sent events and WebSockets, over HTTP/1.1 and over HTTP/2."""

import shutil
import signal
from pathlib import Path

import pytest

from harness.authority import Authority
from harness.devtools import chromium_at

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PATIENCE = 60
"""Seconds. A browser starts slowly on a machine that has other things to do."""

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
    pytest.mark.timeout(3 * PATIENCE),
]


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_page_streams_listens_and_converses_across_a_swap(server, tmp_path: Path, protocol: str) -> None:
    flags = Authority(tmp_path).flags if protocol == "h2" else ()
    started = server("browser:app", "--no-access-log", "--timeout-graceful-shutdown", "2", *flags)
    url = started.url.replace("http:", "https:") if flags else started.url
    old = started.only_worker()

    def tells(text: str) -> None:
        started.stdout.wait_for_line(rf"^{text}$", PATIENCE)

    assert CHROMIUM
    with chromium_at(CHROMIUM, tmp_path / "profile", f"{url}/", "--ignore-certificate-errors"):
        tells(f"page over {protocol}")
        for number in (1, 2, 3):
            tells(f"piece {number}")
        tells("stream ended")
        tells(f"event from {old}")
        tells(f"echo hello from {old}")

        started.send_signal(signal.SIGHUP)
        tells("closed 1012")
        started.stderr.wait_for_line("Recycled worker", PATIENCE)
        new = started.only_worker()
        tells(f"echo hello from {new}")
        tells("events interrupted")
        tells(f"event from {new}")
