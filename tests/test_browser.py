"""A real browser: fetch streams, server-sent events and WebSockets, over HTTP/1.1 and over HTTP/2."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import processes
from harness.authority import Authority

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PATIENCE = 60
"""Seconds. A browser starts slowly on a machine that has other things to do."""

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
    pytest.mark.timeout(3 * PATIENCE),
]


@contextmanager
def showing(url: str, profile: Path) -> Iterator[None]:
    """A headless Chromium with the page, ended with all its processes."""
    assert CHROMIUM
    browser = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            # The test's own pages, by whoever runs it, in whatever container.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-breakpad",
            "--disable-background-networking",
            "--no-first-run",
            "--no-proxy-server",
            "--ignore-certificate-errors",
            f"--user-data-dir={profile}",
            url,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        everything = [browser.pid, *processes.in_session(browser.pid)]
        for pid in everything:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        browser.wait()
        assert all(processes.wait_for_exit(pid, 10) for pid in everything)


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_page_streams_listens_and_converses_across_a_swap(server, tmp_path: Path, protocol: str) -> None:
    flags = Authority(tmp_path).flags if protocol == "h2" else ()
    started = server("browser:app", "--no-access-log", "--timeout-graceful-shutdown", "2", *flags)
    url = started.url.replace("http:", "https:") if flags else started.url
    (old,) = started.worker_pids()

    def tells(text: str) -> None:
        started.stdout.wait_for_line(rf"^{text}$", PATIENCE)

    with showing(f"{url}/", tmp_path / "profile"):
        tells(f"page over {protocol}")
        for number in (1, 2, 3):
            tells(f"piece {number}")
        tells("stream ended")
        tells(f"event from {old}")
        tells(f"echo hello from {old}")

        started.send_signal(signal.SIGHUP)
        tells("closed 1012")
        started.stderr.wait_for_line("Recycled worker", PATIENCE)
        (new,) = started.worker_pids()
        tells(f"echo hello from {new}")
        tells("events interrupted")
        tells(f"event from {new}")
