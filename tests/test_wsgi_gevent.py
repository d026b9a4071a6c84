"""WSGI applications that gevent has patched: views are greenlets of one hub."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.raw_client import encode_request

pytest.importorskip("gevent")


@pytest.mark.parametrize("arguments", [(), ("--preload",)], ids=["imported", "forked"])
def test_views_share_locks_start_processes_and_threads(server: Any, arguments: tuple[str, ...]) -> None:
    serving = server("wsgi_gevent:app", *arguments)
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: serving.get("/lock").text, range(20)))
    assert answers == ["locked"] * 20
    assert serving.get("/subprocess").text == "child\n"
    assert serving.get("/thread").text == "thread"


def test_a_view_that_waits_lets_others_run(server: Any) -> None:
    serving = server("wsgi_gevent:app")
    with serving.connect() as waiting:
        waiting.send(encode_request("GET", "/meet"))
        assert serving.get("/meeting").text == "set"
        assert waiting.read_response().text == "met"


def test_a_body_and_a_client_that_does_not_read_are_waited_for_by_one_greenlet(server: Any) -> None:
    serving = server("wsgi_gevent:app")
    head = b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"
    with serving.connect() as slow, serving.connect() as full:
        slow.send(head + b"ab")
        full.send(encode_request("GET", "/large"))
        assert serving.get("/").text == "ok"
        slow.send(b"cd")
        assert slow.read_response().text == "abcd"
        assert len(full.read_response().body) == 64 * 65536


def test_a_timeout_of_gevent_ends_a_read(server: Any) -> None:
    serving = server("wsgi_gevent:app")
    with serving.connect() as slow:
        slow.send(b"POST /hurry HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
        assert slow.read_response().text == "timed out"


def test_an_exception_is_a_500_and_the_hub_goes_on(server: Any) -> None:
    serving = server("wsgi_gevent:app")
    assert serving.get("/raise").status == 500
    serving.stderr.wait_for_line("ValueError: of the view")
    assert serving.get("/").text == "ok"


def test_the_worker_ends_in_time_and_is_replaced(server: Any) -> None:
    serving = server("wsgi_gevent:app")
    assert serving.get("/lock").text == "locked"
    os.kill(serving.pid, signal.SIGHUP)
    serving.stderr.wait_for_line("Finished server process")
    assert serving.get("/lock").text == "locked"
    began = time.monotonic()
    assert serving.terminate() == 0
    assert time.monotonic() - began < 20
    assert "Traceback" not in serving.stderr.wait_for_end()
