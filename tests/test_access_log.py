"""Access lines in other formats than Uvicorn's, where they go, and the names of requests."""

import json
import re
import signal
import socket
import textwrap
from pathlib import Path

import pytest
from hyperframe.frame import RstStreamFrame

from harness import RawClient, run
from harness.scripted import Scripted, body, start

APP = """
    import asyncio

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        if scope["path"] == "/raises":
            raise RuntimeError("no luck")
        headers = [(b"x-request-id", b"mine")] if scope["path"] == "/own" else []
        if scope["path"] == "/slow":
            await asyncio.sleep(0.05)
        seen = [value for name, value in scope["headers"] if name == b"x-request-id"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b",".join(seen), "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})
"""


WSGI = """
    import threading

    go = threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/goes":
            go.set()
        else:
            print("in", flush=True)
            go.wait(60)
        start_response("200 OK", [("content-length", "4")])
        return [b"done"]
"""


@pytest.fixture
def echo(server, tmp_path: Path):
    """Starts a server whose application answers the names that its request has, and `end`."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(APP))
    return lambda *flags: server("mine:app", *flags, cwd=tmp_path)


def lines(started) -> list[str]:
    assert started.terminate() == 0
    return started.stdout.wait_for_end().splitlines()


def test_combined_lines_are_what_log_analysers_read(echo) -> None:
    started = echo("--access-log-format", "combined")
    started.get("/a?b=c", {"referer": "http://x/", "user-agent": 'curl "8"'})
    started.get("/")
    first, second = lines(started)
    date = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {date} "GET /a\?b=c HTTP/1\.1" 200 3 "http://x/" "curl \\"8\\""', first
    )
    assert re.fullmatch(rf'127\.0\.0\.1 - - {date} "GET / HTTP/1\.1" 200 3 "-" "-"', second)


def test_a_template_is_what_it_says(echo) -> None:
    started = echo("--access-log-format", "%(m)s %(U)s %(s)s %(B)s %({X-Thing}i)s %(id)s 100%%")
    started.get("/a?b=c", {"x-thing": "this", "x-request-id": "r1"})
    started.get("/raises")
    assert lines(started) == ["GET /a 200 5 this r1 100%", "GET /raises 500 21 - - 100%"]


def test_a_time_is_that_of_the_whole_response(echo) -> None:
    started = echo("--access-log-format", "%(ms)s")
    started.get("/slow")
    (milliseconds,) = lines(started)
    assert 50 <= int(milliseconds) < 60_000


def test_json_lines_know_length_and_name(echo) -> None:
    started = echo("--access-log-format", "json")
    started.get("/", {"x-request-id": "abc"})
    (line,) = lines(started)
    access = json.loads(line)
    assert access.items() >= {"status": 200, "bytes": 6, "request_id": "abc"}.items()
    assert "INFO: " in started.stderr.text


def test_a_head_request_has_no_body_to_count(echo) -> None:
    started = echo("--access-log-format", "%(b)s")
    started.request("HEAD", "/")
    assert lines(started) == ["-"]


@pytest.mark.parametrize("text", ["apache", "%(nope)s", "%(h)s %x"])
def test_a_format_that_makes_no_sense_is_wrong_usage(text: str) -> None:
    ended = run("hello:app", "--access-log-format", text)
    assert ended.returncode == 2
    assert "--access-log-format: " in ended.stderr


def test_a_file_gets_the_lines_and_is_opened_again_when_it_was_moved(echo, tmp_path: Path) -> None:
    file, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    started = echo("--access-log-file", str(file), "--access-log-format", "%(U)s")
    started.get("/one")
    file.rename(moved)
    started.send_signal(signal.SIGHUP)
    started.stderr.wait_for_line("Recycled worker")
    started.get("/two")
    assert lines(started) == []
    assert (moved.read_text(), file.read_text()) == ("/one\n", "/two\n")


def test_a_file_that_cannot_be_opened_is_wrong_usage() -> None:
    ended = run("hello:app", "--access-log-file", "/does/not/exist")
    assert ended.returncode == 2
    assert "--access-log-file: /does/not/exist: No such file" in ended.stderr


def test_a_request_gets_a_name_that_all_know(echo) -> None:
    started = echo("--request-id", "--access-log-format", "%(id)s")
    first, second = started.get("/"), started.get("/")
    names = [answered.header("x-request-id") for answered in (first, second)]
    assert [answered.text for answered in (first, second)] == [f"{name}end" for name in names]
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names) and len(set(names)) == 2
    assert lines(started) == names


@pytest.mark.parametrize(("brought", "is_taken"), [("from-the-proxy:7", True), ("strange name", False)])
def test_a_name_that_a_request_brings_is_taken_if_it_is_harmless(echo, brought: str, is_taken: bool) -> None:
    answered = echo("--request-id").get("/", {"X-Request-ID": brought})
    assert (answered.header("x-request-id") == brought) is is_taken
    assert answered.text == answered.header("x-request-id") + "end"


def test_the_applications_own_name_is_not_doubled(echo) -> None:
    answered = echo("--request-id").get("/own")
    assert [value for name, value in answered.headers if name == "x-request-id"] == ["mine"]


def test_an_answer_of_the_servers_own_has_the_name(echo) -> None:
    answered = echo("--request-id").get("/raises")
    assert answered.status == 500
    assert re.fullmatch("[0-9a-f]{32}", answered.header("x-request-id"))


def test_without_the_flag_nothing_is_named(echo) -> None:
    answered = echo().get("/", {"x-request-id": "abc"})
    assert (answered.text, answered.header("x-request-id")) == ("abcend", None)


LEAVE = {"close": RawClient.close, "reset": RawClient.cut}


@pytest.mark.parametrize("format", ["uvicorn", "json", "%(s)s %(B)s"])
@pytest.mark.parametrize("leave", LEAVE)
def test_a_client_that_left_before_its_response_was_not_answered_200(server, leave: str, format: str) -> None:
    scripted = Scripted(server("http_script:app", "--access-log-format", format))
    script = scripted.script(("receive",), ("receive",), start(), body(b"done"))
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(1)
        LEAVE[leave](client)
    script.journal()
    assert any(is_of_one_that_left(format, line) for line in lines(scripted.server))


@pytest.mark.parametrize("leave", ["close", "cancel"])
def test_a_client_of_http2_that_left_was_not_answered_200(server, connect, leave: str) -> None:
    scripted = Scripted(server("http_script:app", "--access-log-format", "%(s)s %(B)s"))
    script = scripted.script(("receive",), ("receive",), start(), body(b"done"))
    client = connect(scripted.server)
    number = client.request("GET", "/", list(script.headers.items()))
    script.reached(1)
    if leave == "close":
        client.close()
    else:
        client.send(RstStreamFrame(number, error_code=8))
    script.journal()
    assert "499 0" in lines(scripted.server)


def test_a_client_that_left_a_wsgi_application_was_not_answered_200(server, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(WSGI))
    started = server("mine:app", "--interface", "wsgi", "--access-log-format", "%(s)s %(B)s", cwd=tmp_path)
    with started.connect() as client:
        client.send(b"GET /waits HTTP/1.1\r\nhost: a\r\n\r\n")
        started.stdout.wait_for_line("in")
    started.get("/goes")
    assert "499 0" in lines(started)


def test_a_client_that_has_ended_its_side_and_reads_was_answered(server) -> None:
    scripted = Scripted(server("http_script:app", "--access-log-format", "%(s)s %(B)s"))
    script = scripted.script(("receive",), ("receive",), start(), body(b"done"))
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(1)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_response().body == b"done"
    told = lines(scripted.server)
    assert "200 4" in told and "499 0" not in told


def is_of_one_that_left(format: str, line: str) -> bool:
    if format == "json":
        return json.loads(line).items() >= {"status": 499, "bytes": 0}.items()
    return line.endswith('HTTP/1.1" 499 Client Closed Request' if format == "uvicorn" else "499 0")
