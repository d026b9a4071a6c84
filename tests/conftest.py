"""Fixtures that every test may ask for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from harness import Server

Start = Callable[..., Server]


@pytest.fixture
def server() -> Iterator[Start]:
    """Starts servers (`server("hello:app", "--workers", "2")`) that are stopped after the test."""
    with ExitStack() as running:
        yield lambda *arguments, **options: running.enter_context(Server(*arguments, **options))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """A failed test shows what its servers wrote."""
    report = yield
    if report.when == "call" and report.failed:
        for each in Server.live:
            report.sections.append((f"server {each.pid}", each.output))
    return report
