"""The threads that WSGI applications run on: when there are how many, what they do at once, and how they end."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import Server, processes
from harness.journal import journal, until
from harness.raw_client import encode_request


def threads(server: Server) -> int:
    return len(list(Path(f"/proc/{server.worker_pids()[0]}/task").iterdir()))


class TestThreads:
    def test_there_is_none_before_the_first_request_and_none_of_asyncio(self, server: Any) -> None:
        serving = server("wsgi_app:app")
        until(lambda: threads(serving) == 1)
        assert serving.get("/modules").json()[0] is False
        assert threads(serving) == 2

    def test_one_is_enough_for_requests_one_after_the_other(self, server: Any) -> None:
        serving = server("wsgi_app:app")
        # One that the machine keeps from running for long gets company: then again, once all have ended.
        for _ in range(4):
            until(lambda: threads(serving) == 1)
            with serving.connect() as client:
                for _ in range(50):
                    assert client.get("/").status == 200
            if threads(serving) == 2:
                return
        raise AssertionError("there are more each time")

    def test_they_are_as_many_as_requests_that_wait_and_not_more_than_allowed(self, server: Any) -> None:
        serving = server("wsgi_app:app", "--wsgi-threads", "3", "--timeout-graceful-shutdown", "1")
        clients = [serving.connect() for _ in range(5)]
        for client in clients:
            client.send(encode_request("GET", "/meet/full"))
        until(lambda: threads(serving) == 4)
        assert threads(serving) == 4, "the server's own and three"
        for client in clients:
            client.close()

    def test_they_work_at_the_same_time(self, server: Any) -> None:
        serving = server("wsgi_app:app", "--wsgi-threads", "4")
        with serving.connect() as one, serving.connect() as two:
            for client in (one, two):
                client.send(encode_request("GET", "/meet/both"))
            until(lambda: len(journal(serving, "both")) == 2)
            assert len(set(journal(serving, "both"))) == 2
            serving.get("/set/both")
            assert [client.read_response().body for client in (one, two)] == [b"met", b"met"]

    def test_views_that_compute_are_begun_one_after_the_other(self, server: Any) -> None:
        serving = server("wsgi_app:app")

        def ask(_: int) -> None:
            with serving.connect(60) as client:
                for _ in range(25):
                    assert client.get("/computes/alone").status == 200

        with ThreadPoolExecutor(16) as clients:
            list(clients.map(ask, range(16)))
        at_once = journal(serving, "alone")
        assert len(at_once) == 400
        # A view that the machine keeps from running for long gets company, as one that computes does. Begun as
        # they come, few of them would be alone.
        assert at_once.count(1) > 240, at_once

    def test_a_view_that_computes_for_long_does_not_keep_the_others(self, server: Any) -> None:
        serving = server("wsgi_app:app")
        with serving.connect(30) as client:
            client.send(encode_request("GET", "/spins/free"))
            until(lambda: journal(serving, "free") == ["in"])
            serving.get("/set/free")
            assert client.read_response().body == b"spun"

    def test_views_that_wait_let_others_compute(self, server: Any) -> None:
        serving = server("wsgi_app:app", "--wsgi-threads", "4")
        waiting = [serving.connect(30) for _ in range(3)]
        for client in waiting:
            client.send(encode_request("GET", "/meet/later"))
        until(lambda: len(journal(serving, "later")) == 3)
        for _ in range(50):
            assert serving.get("/computes/beside").status == 200
        serving.get("/set/later")
        assert [client.read_response().body for client in waiting] == [b"met"] * 3

    def test_their_stack_is_deep_enough_for_pythons_own_limit(self, server: Any) -> None:
        assert server("wsgi_app:app").get("/recurses").body == b"as deep as Python allows"

    def test_they_end_when_there_is_nothing_to_do(self, server: Any) -> None:
        serving = server("wsgi_app:app")
        serving.get("/")
        assert threads(serving) == 2
        until(lambda: threads(serving) == 1)
        assert serving.get("/").status == 200

    def test_an_answer_that_is_there_does_not_wait_for_those_behind_it(self, server: Any) -> None:
        serving = server("wsgi_app:app", "--wsgi-threads", "1", "--timeout-graceful-shutdown", "1")
        # While the first is closed the others come to wait; the fifth keeps the thread for ever.
        targets = ["/slow-close/1", "/", "/", "/", "/stuck", *["/"] * 6]
        clients = [serving.connect(40) for _ in targets]
        for client, target in zip(clients, targets, strict=True):
            client.send(encode_request("GET", target))
        answers = [client.read_response().body for client in clients[:4]]
        assert answers == [b"ready", *[b"Hello, world!"] * 3]
        for client in clients:
            client.close()

    def test_no_wake_up_is_lost_under_load(self, server: Any) -> None:
        serving = server("wsgi_app:app", "--no-access-log")
        body = os.urandom(200_000)

        def converse(number: int) -> int:
            with serving.connect(60) as client:
                for turn in range(60):
                    if turn % 6 == number % 6:
                        assert client.request("POST", "/echo", None, body).body == body
                    elif turn % 2:
                        assert client.request("POST", "/count", None, body).json() == len(body)
                    else:
                        assert client.get("/").body == b"Hello, world!"
            return number

        with ThreadPoolExecutor(32) as clients:
            assert sorted(clients.map(converse, range(32))) == list(range(32))


class TestTheEnd:
    def test_a_stop_waits_for_the_response(self, server: Any) -> None:
        serving = server("wsgi_app:app")
        with serving.connect() as client:
            client.send(b"POST /read-some/last HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nhalf")
            until(lambda: journal(serving, "last"))
            serving.send_signal(signal.SIGTERM)
            serving.stderr.wait_for_line("Waiting for connections to close")
            client.send(b"more")
            assert client.read_response().body == b"done"
        assert serving.wait() == 0

    def test_a_stop_waits_for_close(self, server: Any) -> None:
        serving = server("wsgi_app:app")
        assert serving.get("/slow-close/1").body == b"ready"
        assert serving.terminate() == 0
        assert "closed after 1 s" in serving.stderr.wait_for_end()

    def test_what_never_ends_is_given_up(self, server: Any) -> None:
        serving = server("wsgi_app:app", "--timeout-graceful-shutdown", "1")
        with serving.connect() as client:
            client.send(encode_request("GET", "/stuck"))
            until(lambda: journal(serving, "stuck"))
            assert serving.terminate() == 0
        assert "did not end in time" in serving.stderr.wait_for_end()

    def test_a_recycled_worker_finishes_what_it_has_begun(self, server: Any) -> None:
        serving = server("wsgi_app:app")
        old = serving.worker_pids()[0]
        with serving.connect() as client:
            client.send(b"POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nhalf")
            assert serving.get("/modules").json()[2] == old
            serving.send_signal(signal.SIGHUP)
            serving.stderr.wait_for_line("Waiting for connections to close")
            assert serving.get("/modules").json()[2] != old
            client.send(b"more")
            assert client.read_response().json() == 8
        assert processes.wait_for_exit(old, 40)

    def test_many_requests_go_over_a_swap(self, server: Any) -> None:
        serving = server("wsgi_app:app", "--no-access-log")
        stop = threading.Event()

        def ask() -> int:
            count = 0
            with serving.connect() as client:
                while not stop.is_set():
                    assert client.get("/").body == b"Hello, world!"
                    count += 1
            return count

        with ThreadPoolExecutor(8) as clients:
            asked = [clients.submit(ask) for _ in range(8)]
            for swap in (1, 2):
                serving.send_signal(signal.SIGHUP)
                serving.stderr.wait_for_line("Recycled worker", times=swap)
            stop.set()
            assert all(each.result() > 0 for each in asked)
