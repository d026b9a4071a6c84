"""WSGI applications (PEP 3333): what they are told, and what the client gets."""

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import RawClient, Server
from harness.authority import Authority
from harness.journal import journal, until
from harness.raw_client import encode_request
from harness.scripted import writes

MIB = 1024 * 1024
# The part of an unread response that kernels may keep: the socket buffers of both sides.
KERNEL_BUFFERS = 12 * MIB


@pytest.fixture(scope="module")
def wsgi() -> Iterator[Server]:
    with Server("wsgi_app:app", "--timeout-graceful-shutdown", "1") as server:
        yield server


def reset(client: RawClient) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class TestTheEnviron:
    def test_it_tells_the_request(self, wsgi: Server) -> None:
        headers = {"x-one": "1", "content-type": "text/plain"}
        environ = wsgi.post("/environ/a%20b/caf%C3%A9?x=1&y=%20", b"body", headers).json()
        expected = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/environ/a b/caf\xc3\xa9",
            "QUERY_STRING": "x=1&y=%20",
            "REQUEST_URI": "/environ/a%20b/caf%C3%A9?x=1&y=%20",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(wsgi.port),
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "text/plain",
            "CONTENT_LENGTH": "4",
            "HTTP_X_ONE": "1",
            "wsgi.url_scheme": "http",
            "wsgi.version": [1, 0],
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }
        assert {key: environ.get(key) for key in expected} == expected
        assert "HTTP_CONTENT_TYPE" not in environ and "HTTP_CONTENT_LENGTH" not in environ

    def test_without_a_body_there_is_no_length(self, wsgi: Server) -> None:
        environ = wsgi.get("/environ").json()
        assert "CONTENT_LENGTH" not in environ and "CONTENT_TYPE" not in environ

    def test_repeated_fields_are_joined(self, wsgi: Server) -> None:
        headers = [("x-list", "a"), ("X-List", "b"), ("cookie", "c=1"), ("cookie", "d=2")]
        environ = wsgi.get("/environ", headers).json()
        assert environ["HTTP_X_LIST"] == "a,b"
        assert environ["HTTP_COOKIE"] == "c=1; d=2"

    def test_a_name_with_an_underscore_does_not_pass_for_another(self, wsgi: Server) -> None:
        environ = wsgi.get("/environ", [("x_forwarded_for", "6.6.6.6")]).json()
        assert "HTTP_X_FORWARDED_FOR" not in environ

    def test_bytes_beyond_ascii_are_latin_1(self, wsgi: Server) -> None:
        with wsgi.connect() as client:
            client.send(b"GET /environ/%FF HTTP/1.1\r\nhost: a\r\nx-name: \xc3\xa9\r\n\r\n")
            environ = client.read_response().json()
        assert environ["PATH_INFO"] == "/environ/\xff"
        assert environ["HTTP_X_NAME"] == "\xc3\xa9"

    def test_a_trusted_proxy_tells_the_client_and_the_scheme(self, wsgi: Server) -> None:
        headers = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
        environ = wsgi.get("/environ", headers).json()
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.9", "https")
        assert "REMOTE_PORT" not in environ

    def test_an_encrypted_connection_has_its_scheme(self, server: Any, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        serving = server("wsgi_app:app", *authority.flags)
        with serving.connect(tls=authority.trusting()) as client:
            assert client.get("/environ").json()["wsgi.url_scheme"] == "https"

    def test_root_path_is_the_script_name(self, server: Any) -> None:
        environ = server("wsgi_app:app", "--root-path", "/mounted").get("/environ").json()
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/mounted", "/environ")

    def test_one_thread_is_no_multithread(self, server: Any) -> None:
        environ = server("wsgi_app:app", "--wsgi-threads", "1").get("/environ").json()
        assert environ["wsgi.multithread"] is False

    def test_a_unix_socket_has_a_name_and_a_port_too(self, server: Any, tmp_path: Path) -> None:
        environ = server("wsgi_app:app", "--uds", str(tmp_path / "s")).get("/environ").json()
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
        assert environ["REMOTE_ADDR"] == ""

    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
    def test_the_standard_librarys_validator_has_no_complaint(self, server: Any, method: str) -> None:
        serving = server("wsgi_valid:app", "--interface", "wsgi")
        body = b"hello" if method == "POST" else None
        response = serving.request(method, "/", None, body)
        assert response.status == 200
        assert response.body == {"GET": b"ok ", "POST": b"ok hello", "HEAD": b""}[method]
        assert "AssertionError" not in serving.stderr


class TestTheRequestBody:
    LINES = b"one\ntwo\nthree"

    @pytest.mark.parametrize("chunked", [False, True])
    @pytest.mark.parametrize(
        ("how", "answer"),
        [
            ("read", ["one\ntwo\nthree", ""]),
            ("read?size=-1", ["one\ntwo\nthree", ""]),
            ("read?size=0", ["", "one\ntwo\nthree"]),
            ("read?size=5", ["one\nt", "wo\nthree"]),
            ("read?size=500", ["one\ntwo\nthree", ""]),
            ("readline", ["one\n", "two\nthree"]),
            ("readline?size=2", ["on", "e\ntwo\nthree"]),
            ("readlines", [["one\n", "two\n", "three"], ""]),
            ("readlines?size=5", [["one\n", "two\n"], "three"]),
            ("lines", ["one\n", "two\n", "three"]),
            ("into", ["one\ntwo\nthree"]),
        ],
    )
    def test_it_is_a_file(self, wsgi: Server, how: str, answer: Any, chunked: bool) -> None:
        if chunked:
            framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.LINES), self.LINES)
            with wsgi.connect() as client:
                headers = [("transfer-encoding", "chunked")]
                client.send(encode_request("POST", f"/read/{how}", headers) + framed)
                assert client.read_response().json() == answer
        else:
            assert wsgi.post(f"/read/{how}", self.LINES).json() == answer

    def test_it_is_read_while_it_arrives(self, wsgi: Server) -> None:
        with wsgi.connect() as client:
            client.send(b"POST /read-some/arrive HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\none")
            until(lambda: journal(wsgi, "arrive") == ["one"])
            client.send(b"two")
            assert client.read_response().body == b"done"
        assert journal(wsgi, "arrive") == ["one", "two"]

    def test_a_large_one_is_read_in_pieces(self, wsgi: Server) -> None:
        assert wsgi.post("/count", b"x" * 5 * MIB).json() == 5 * MIB

    def test_it_goes_back_while_it_comes(self, wsgi: Server) -> None:
        body = os.urandom(3 * MIB)
        with wsgi.connect(30) as client:
            sender = threading.Thread(target=client.send, args=(encode_request("POST", "/echo", None, body),))
            sender.start()
            assert client.read_response().body == body
            sender.join()

    def test_a_client_that_expects_100_gets_it_when_the_body_is_read(self, wsgi: Server) -> None:
        head = b"POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"
        with wsgi.connect() as client:
            client.send(head)
            assert client.read_head().status == 100
            client.send(b"body")
            assert client.read_response().json() == 4

    def test_one_that_is_not_read_does_not_spoil_the_next_request(self, wsgi: Server) -> None:
        with wsgi.connect() as client:
            assert client.request("POST", "/", None, b"x" * 100_000).body == b"Hello, world!"
            assert client.get("/").body == b"Hello, world!"

    def test_a_client_that_goes_away_in_it_is_an_error_for_the_application_alone(self, wsgi: Server) -> None:
        with wsgi.connect() as client:
            client.send(b"POST /read-some/broken HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf")
            until(lambda: journal(wsgi, "broken"))
        assert wsgi.get("/").status == 200
        assert journal(wsgi, "broken") == ["half"]
        assert "ConnectionAbortedError" not in wsgi.stderr


class TestTheResponse:
    def test_a_body_of_one_piece_has_its_length(self, wsgi: Server) -> None:
        response = wsgi.get("/")
        assert (response.header("content-length"), response.body) == ("13", b"Hello, world!")

    def test_a_body_of_several_is_chunked(self, wsgi: Server) -> None:
        response = wsgi.get("/several")
        assert response.is_chunked and response.body == b"one two"

    def test_pieces_arrive_as_they_are_made(self, wsgi: Server) -> None:
        with wsgi.connect() as client:
            client.send(encode_request("GET", "/stream/now"))
            client.read_head()
            for number in range(3):
                assert client.read_chunk() == f"piece {number}\n".encode()
                wsgi.get(f"/set/now-{number}")
            assert client.read_chunk() == b""
        until(lambda: journal(wsgi, "now")[-1] == "closed")

    def test_status_reason_and_headers_are_the_applications(self, wsgi: Server) -> None:
        response = wsgi.get("/reason")
        assert (response.status, response.reason) == (404, "Nobody Home")
        assert response.header("x-name") == "caf\xe9"
        assert response.all("set-cookie") == ["a=1", "b=2"]

    def test_write_comes_before_what_is_returned(self, wsgi: Server) -> None:
        assert wsgi.get("/write").body == b"written, then returned"

    def test_an_empty_one_is_empty(self, wsgi: Server) -> None:
        response = wsgi.get("/nothing")
        assert (response.status, response.body) == (204, b"")
        assert response.header("content-length") is None

    @pytest.mark.parametrize("path", ["/", "/several", "/length/5/5"])
    def test_head_has_the_head_alone(self, wsgi: Server, path: str) -> None:
        with wsgi.connect() as client:
            response = client.request("HEAD", path)
            assert (response.status, response.body) == (200, b"")
            assert client.get("/").body == b"Hello, world!"

    def test_a_file_is_sent_and_closed(self, wsgi: Server) -> None:
        assert wsgi.get("/file").body == b"f" * 200_000
        until(lambda: journal(wsgi, "file") == ["closed"])

    def test_a_large_one_is_not_cut_and_its_memory_is_given_back(self, wsgi: Server) -> None:
        def resident() -> int:
            status = Path(f"/proc/{wsgi.worker_pids()[0]}/status").read_text()
            return int(status.split("VmRSS:")[1].split()[0]) * 1024

        before = resident()
        assert len(wsgi.get("/big").body) == 16 * MIB
        # No request comes meanwhile: the server lets go of it by itself.
        until(lambda: resident() < before + 8 * MIB)

    def test_more_than_was_announced_is_not_sent(self, wsgi: Server) -> None:
        with writes(wsgi.stderr, "longer than Content-Length"), wsgi.connect() as client:
            assert client.get("/length/5/9").body == b"xxxxx"
            assert client.get("/").status == 200

    def test_less_than_was_announced_cuts_the_connection(self, wsgi: Server) -> None:
        with writes(wsgi.stderr, "shorter than Content-Length"), wsgi.connect() as client:
            client.send(encode_request("GET", "/length/9/5"))
            assert client.read_head().status == 200
            assert client.read_until_close() == b"xxxxx"

    def test_a_head_is_replaced_while_nothing_is_sent(self, wsgi: Server) -> None:
        response = wsgi.get("/replaced")
        assert (response.status, response.reason, response.body) == (503, "Later", b"replaced")
        assert response.header("x-first") is None and response.header("x-second") == "2"

    def test_afterwards_the_error_is_the_applications_and_the_connection_is_cut(self, wsgi: Server) -> None:
        with writes(wsgi.stderr, "ValueError: found out too late"), wsgi.connect() as client:
            client.send(encode_request("GET", "/too-late"))
            assert client.read_head().status == 200
            assert not client.read_until_close().endswith(b"0\r\n\r\n")


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "told"),
        [
            ("/raises", "RuntimeError: the view is broken"),
            ("/raises-after/none", "RuntimeError: the body is broken"),
            ("/exits", "SystemExit: 7"),
            ("/silent", "without calling start_response"),
            ("/early", "before it called start_response"),
            ("/twice", "called again without exc_info"),
            ("/a-str", "consists of bytes, not <class 'str'>"),
            ("/bad-header", "Invalid HTTP header value"),
            ("/bad-status", "a final code and a reason"),
        ],
    )
    def test_the_client_gets_a_500_and_the_operator_the_reason(
        self, wsgi: Server, path: str, told: str
    ) -> None:
        with writes(wsgi.stderr, told):
            response = wsgi.get(path)
        assert (response.status, response.body) == (500, b"Internal Server Error")
        assert wsgi.get("/").status == 200

    def test_a_traceback_names_the_line(self, wsgi: Server) -> None:
        with writes(wsgi.stderr, r'wsgi_app.py", line \d+, in raises'):
            wsgi.get("/raises")

    def test_one_in_the_middle_cuts_and_close_is_called(self, wsgi: Server) -> None:
        with writes(wsgi.stderr, "RuntimeError: the body is broken"), wsgi.connect() as client:
            client.send(encode_request("GET", "/raises-after/middle?pieces=2"))
            assert client.read_head().status == 200
            assert not client.read_until_close().endswith(b"0\r\n\r\n")
        until(lambda: journal(wsgi, "middle") == [5, 5, "closed"])

    def test_a_signal_handler_of_the_applications_runs_while_the_worker_waits(self, wsgi: Server) -> None:
        with writes(wsgi.stderr, "SIGUSR1 was handled"):
            os.kill(wsgi.worker_pids()[0], signal.SIGUSR1)

    def test_requests_do_not_see_each_others_context(self, wsgi: Server) -> None:
        assert [wsgi.get("/leaks").json() for _ in range(3)] == ["unset"] * 3


class TestAClientThatLeaves:
    @pytest.mark.parametrize("path", ["drip", "endless"])
    def test_stops_the_iteration(self, wsgi: Server, path: str) -> None:
        with wsgi.connect() as client:
            client.send(encode_request("GET", f"/{path}/left-{path}"))
            client.read_head()
            reset(client)
        until(lambda: journal(wsgi, f"left-{path}")[-1:] == ["closed"])

    def test_or_does_not_read_makes_the_application_wait(self, wsgi: Server) -> None:
        with wsgi.connect() as client:
            client.send(encode_request("GET", "/endless/unread"))
            client.read_head()
            sizes = [0]

            def settled() -> bool:
                time.sleep(0.3)
                sizes.append(sum(journal(wsgi, "unread")))
                return sizes[-1] == sizes[-2]

            until(settled)
            assert 0 < sizes[-1] < KERNEL_BUFFERS
            reset(client)
        until(lambda: journal(wsgi, "unread")[-1] == "closed")
