"""A headless Chromium that is told what to do over its DevTools protocol."""

import base64
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from harness import processes

PATIENCE = 60


class Page:
    """One page, and what went wrong on it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._number = 0
        self.wrong: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=PATIENCE))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message["method"] == "Runtime.exceptionThrown":
            self.wrong.append(str(parameters["exceptionDetails"]))
        elif message["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.wrong.append(parameters["entry"]["text"])

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script: str) -> Any:
        """The same, once it is true."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, self.run("document.body.innerText")
            time.sleep(0.05)
        return value

    def screen(self, width: int, height: int, *, dark: bool = False, mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, file: Path) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def chromium_at(chromium: str, profile: Path, url: str, *flags: str) -> Iterator[None]:
    """A headless Chromium with the page, ended with all its processes."""
    process = subprocess.Popen(
        [
            chromium,
            "--headless=new",
            # The test's own pages, by any user, in any container.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-breakpad",
            "--disable-background-networking",
            "--no-first-run",
            "--no-proxy-server",
            *flags,
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
        everything = [process.pid, *processes.in_session(process.pid)]
        for pid in everything:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()
        assert all(processes.wait_for_exit(pid, 10) for pid in everything)


@contextmanager
def browser(chromium: str, profile: Path, url: str) -> Iterator[Page]:
    """A Chromium with one page that is spoken to."""
    flags = ("--remote-debugging-port=0", "--remote-allow-origins=*")
    with chromium_at(chromium, profile, "about:blank", *flags):
        with connect(_target(profile), max_size=None, proxy=None) as connection:
            page = Page(connection)
            page.call("Page.navigate", url=url)
            yield page


def _target(profile: Path) -> str:
    """Where the page is reached, once the browser has started."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            port = (profile / "DevToolsActivePort").read_text().split()[0]
            with opener.open(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
                targets = json.load(answer)
            return next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
        except (OSError, IndexError, StopIteration):
            assert time.monotonic() < deadline, "the browser does not start"
            time.sleep(0.05)
