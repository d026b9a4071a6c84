"""Clients that ask without a pause while a server's worker is replaced again and again."""

import signal
import threading
from collections.abc import Callable

import httpx

from harness.server import Server

CLIENTS, SWAPS = 4, 3

ANSWERS = 50
"""Between two swaps."""


def lose_no_request(server: Server, connect: Callable[[], httpx.Client], url: str, version: str) -> None:
    """SIGHUP, while each client asks for "Hello, world!" on what httpx keeps of its connections."""
    stop = threading.Event()
    failures: list[BaseException] = []
    answered = threading.Semaphore(0)

    def ask() -> None:
        try:
            with connect() as client:
                while not stop.is_set():
                    response = client.get(url)
                    assert (response.text, response.http_version) == ("Hello, world!", version)
                    answered.release()
        except BaseException as error:
            failures.append(error)
            stop.set()

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
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
