"""Fixtures that every test may ask for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness import Server
from harness.authority import Authority
from harness.http2_client import Http2Client
from harness.lazy_script import LazyScript
from harness.machine import Machine
from harness.scripted import Scripted
from harness.site import write_site

Start = Callable[..., Server]


@pytest.fixture
def server() -> Iterator[Start]:
    """Starts servers (`server("hello:app", "--workers", "2")`) that are stopped after the test."""
    with ExitStack() as running:
        yield lambda *arguments, **options: running.enter_context(Server(*arguments, **options))


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    """A server for the whole file whose application does what a request's script says."""
    # A script that a failed test leaves waiting shall not hold up the end.
    with Server("http_script:app", "--timeout-graceful-shutdown", "1") as server:
        yield Scripted(server)


@pytest.fixture
def connect() -> Iterator[Callable[..., Http2Client]]:
    """Opens HTTP/2 connections (`connect(server, opens_windows=False)`) that are closed after the test."""
    with ExitStack() as opened:

        def connect(server: Server, **options: Any) -> Http2Client:
            assert not isinstance(server.address, str)
            return opened.enter_context(Http2Client(server.address, **options))

        yield connect


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of the test's own, with a certificate for a server."""
    return Authority(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of files to be served."""
    return write_site(tmp_path)


@pytest.fixture
def serving(server: Start, site: Path) -> Start:
    """Serves the site below /static, with these options of the mount and flags of the server."""

    def start(*flags: str, options: str = "", app: str = "mirror:app") -> Server:
        return server(app, "--static", f"/static={site}{options}", *flags)

    return start


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A directory for several applications."""
    return Machine(tmp_path)


@pytest.fixture
def serve_all(server: Start, machine: Machine) -> Start:
    """Serves several applications (`serve_all("ttl = '1h'", "one", "two")`)."""
    return lambda *names, **options: machine.serve(server, *names, **options)


@pytest.fixture
def run_lazily(tmp_path: Path) -> LazyScript:
    """Runs scripts (`run_lazily("...", words="app,helper", app="import heavy")`) with imports put off."""
    return LazyScript(tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """A failed test shows what its servers wrote."""
    report = yield
    if report.when == "call" and report.failed:
        for each in Server.live:
            report.sections.append((f"server {each.pid}", each.output))
    return report
