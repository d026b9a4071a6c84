"""Clients that ask while a server's worker is replaced again and again."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing

import httpx

from harness.http2_client import Http2Client
from harness.server import Server

CLIENTS, SWAPS = 4, 3

ANSWERS = 50
"""Between two swaps."""


def lose_no_request(server: Server, connect: Callable[[], httpx.Client], url: str, version: str) -> None:
    """SIGHUP, while each client asks for "Hello, world!" on what httpx keeps of its connections."""

    def ask(answered: Callable[[], bool]) -> None:
        with connect() as client:
            while True:
                response = client.get(url)
                assert (response.text, response.http_version) == ("Hello, world!", version)
                if not answered():
                    return

    lose_nothing(server, ask)


def lose_nothing_sent_once(server: Server) -> None:
    """The same over HTTP/2 by clients that send a request once and look what has come only afterwards, as
    a proxy does whose request and our GOAWAY cross."""
    assert not isinstance(server.address, str)
    address = server.address

    def ask(answered: Callable[[], bool]) -> None:
        while True:
            with closing(Http2Client(address)) as client:
                while not client.goaways:
                    assert client.get("/").body == b"Hello, world!"
                    if not answered():
                        return
                    time.sleep(0.001)

    lose_nothing(server, ask)


def lose_nothing(server: Server, ask: Callable[[Callable[[], bool]], None]) -> None:
    """SIGHUP, while each client asks; it says when it was answered, and hears whether to go on."""
    stop = threading.Event()
    failures: list[BaseException] = []
    answered = threading.Semaphore(0)

    def count() -> bool:
        answered.release()
        return not stop.is_set()

    def run() -> None:
        try:
            ask(count)
        except BaseException as error:
            failures.append(error)
            stop.set()

    clients = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for swap in range(1, SWAPS + 1):
            for _ in range(ANSWERS):
                assert answered.acquire(timeout=40), failures
            server.send_signal(signal.SIGHUP)
            server.stderr.wait_for_line("Recycled worker", times=swap)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert not failures
