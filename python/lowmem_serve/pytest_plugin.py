"""pytest's fixture `lowmem_server`: servers that are stopped when the test is over.

def test_home(lowmem_server):
    server = lowmem_server("main:app", workers=2)
    assert httpx.get(server.url).status_code == 200
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

STARTED = pytest.StashKey[list[Any]]()


@pytest.fixture
def lowmem_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Starts a server, with the arguments of `lowmem_serve.serve`; a failed test shows the log."""
    from lowmem_serve.serving import serve

    started = request.node.stash.setdefault(STARTED, [])

    def start(app: object, **settings: Any) -> serve:
        server = serve(app, **settings)
        server.start()
        started.append(server)
        return server

    try:
        yield start
    finally:
        for server in reversed(started):
            server.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    if report.when == "call" and report.failed:
        for server in item.stash.get(STARTED, []):
            report.sections.append((f"lowmem-serve {server.url}", server.log))
    return report
