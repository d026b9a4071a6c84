"""HTTP/2: what applications see of it, back-pressure, and what real clients get of it over TLS."""

import ast
import os
import shutil
import subprocess

import httpx
import pytest
from hyperframe.frame import (
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from harness.http2_client import Http2Client
from harness.http2_frames import CANCEL, INITIAL_WINDOW_SIZE, INTERNAL_ERROR
from harness.replacing import lose_no_request, lose_nothing_sent_once
from harness.scripted import Scripted, body, start

STREAM_WINDOW = 256 * 1024
READ_AHEAD = 64 * 1024


def scope(client: Http2Client, path: str = "/", more: list[tuple[str, str]] | None = None) -> dict:
    response = client.get(path, more)
    assert response.status == 200
    return ast.literal_eval(response.body.decode())["scope"]


# ---- what applications see


def test_the_scope_of_a_request(server, connect):
    client = connect(server("http_scope:app"))
    seen = scope(client, "/a%20b?c=d", [("x-one", "1"), ("te", "trailers"), ("X-Two".lower(), "2")])
    assert seen["http_version"] == "2"
    assert seen["method"] == "GET"
    assert seen["scheme"] == "http"
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert seen["headers"] == [
        (b"host", b"test.example"),
        (b"x-one", b"1"),
        (b"te", b"trailers"),
        (b"x-two", b"2"),
    ]


def test_cookie_crumbs_are_joined(server, connect):
    seen = scope(connect(server("http_scope:app")), "/", [("cookie", "a=1"), ("cookie", "b=2"), ("x", "y")])
    assert (b"cookie", b"a=1; b=2") in seen["headers"]
    assert [name for name, _ in seen["headers"]].count(b"cookie") == 1


def test_requests_share_a_connection_and_are_answered_out_of_order(server, connect):
    scripted = Scripted(server("http_script:app"))
    late = scripted.script(("wait", "go"), start(200), body(b"late"))
    client = connect(scripted.server)
    first = client.request("GET", "/", list(late.headers.items()))
    soon = scripted.script(start(200), body(b"soon"))
    assert client.get("/", list(soon.headers.items())).body == b"soon"
    late.signal("go")
    assert client.response(first).body == b"late"


def test_the_servers_own_fields_come_first(server, connect):
    client = connect(server("http_scope:app", "--header", "X-Own: yes"))
    names = [name for name, _ in client.get("/").headers]
    assert names == [":status", "date", "server", "x-own", "content-type", "content-length"]


def test_fields_about_the_connection_are_not_sent(server, connect):
    scripted = Scripted(server("http_script:app"))
    fields = [(b"connection", b"close, x"), (b"Keep-Alive", b"1"), (b"transfer-encoding", b"chunked")]
    fields += [(b"upgrade", b"x"), (b"proxy-connection", b"x"), (b"X-Kept", b"yes")]
    script = scripted.script(start(200, *fields), body(b"a", more=True), body(b"b"))
    response = connect(scripted.server).get("/", list(script.headers.items()))
    assert response.body == b"ab"
    assert [name for name, _ in response.headers if name not in ("date", "server")] == [":status", "x-kept"]


def test_a_head_request_gets_no_body(server, connect):
    client = connect(server("hello:app"))
    number = client.request("HEAD")
    assert client.response(number).body == b""
    assert client.streams[number].header("content-length") == "13"


def test_bodies_pass_both_ways_beyond_the_windows(server, connect):
    client = connect(server("http_bare:app"))
    for size in (0, 1, 16_384, 65_536, 200_000):
        data = os.urandom(size)
        number = client.request("POST", "/echo", end=False)
        client.data(number, data, end=True)
        assert client.response(number).body == data


def test_trailers_end_a_body_and_are_ignored(server, connect):
    client = connect(server("http_bare:app"))
    number = client.request("POST", "/echo", end=False)
    client.data(number, b"body")
    trailers = client.encoder.encode([("x-sum", "1")])
    client.send(HeadersFrame(number, trailers, flags=["END_HEADERS", "END_STREAM"]))
    assert client.response(number).body == b"body"


def test_a_client_that_waits_is_told_to_continue_when_its_body_is_wanted(server, connect):
    client = connect(server("http_bare:app"))
    number = client.request("POST", "/echo", [("expect", "100-continue")], end=False)
    client.read_until(HeadersFrame)
    assert [dict(each)[":status"] for each in client.streams[number].interim] == ["100"]
    client.data(number, b"body", end=True)
    assert client.response(number).body == b"body"


def test_a_client_whose_body_is_not_wanted_is_not_told_to_continue(server, connect):
    client = connect(server("hello:app"))
    number = client.request("POST", "/", [("expect", "100-continue")], end=False)
    assert client.response(number).status == 200
    assert client.streams[number].interim == []


def test_a_reset_stream_is_a_disconnect(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(("receive",), ("receive",), start(200), body(b"nobody"))
    client = connect(scripted.server)
    number = client.request("GET", "/", list(script.headers.items()))
    script.reached(1)
    client.send(RstStreamFrame(number, error_code=CANCEL))
    assert [entry and entry["type"] for entry in script.journal()[:2]] == ["http.request", "http.disconnect"]
    assert client.get("/reached/none/0").status == 200


def test_a_lost_connection_is_a_disconnect(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(("receive",), ("receive",))
    client = connect(scripted.server)
    client.request("GET", "/", list(script.headers.items()))
    script.reached(1)
    client.close()
    assert script.journal()[1]["type"] == "http.disconnect"


def test_an_error_before_the_response_is_a_500_and_one_in_it_a_reset(server, connect):
    scripted = Scripted(server("http_script:app"))
    client = connect(scripted.server)
    before = scripted.script(("raise", "oh"))
    response = client.get("/", list(before.headers.items()))
    assert (response.status, response.body) == (500, b"Internal Server Error")
    within = scripted.script(start(200), body(b"part", more=True), ("raise", "oh"))
    response = client.get("/", list(within.headers.items()))
    assert (response.ended, response.reset) == (False, INTERNAL_ERROR)
    assert client.get("/reached/none/0").status == 200


def test_a_body_shorter_than_announced_is_a_reset(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(start(200, (b"content-length", b"9")), body(b"short", more=True), body())
    response = connect(scripted.server).get("/", list(script.headers.items()))
    assert response.reset == INTERNAL_ERROR


def test_the_access_log_has_the_version(server, connect):
    started = server("hello:app")
    connect(started).get("/x")
    assert started.stdout.wait_for_line(r'"GET /x HTTP/2" 200')


# ---- back-pressure


def test_sending_waits_for_the_clients_windows(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(start(200), ("fill", 16_384, 4_000_000), ("settle",), body(b""))
    client = connect(scripted.server, settings={INITIAL_WINDOW_SIZE: 0})
    number = client.request("GET", "/", list(script.headers.items()))
    filled = script.reached(2)[1]
    assert filled < 600_000
    client.send(SettingsFrame(settings={INITIAL_WINDOW_SIZE: 1_000_000}), WindowUpdateFrame(0, 8_000_000))
    assert len(client.response(number).body) >= filled


def test_a_client_may_not_send_more_than_its_request_is_read(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(("wait", "read"), ("drain",), start(200), body(b"all"))
    client = connect(scripted.server)
    size = STREAM_WINDOW + READ_AHEAD + 50_000
    more = [*script.headers.items(), ("content-length", str(size))]
    # The server opens the connection's window beyond what it begins with.
    client.read_until(WindowUpdateFrame)
    number = client.request("POST", "/", more, end=False)
    client.data(number, b"x" * STREAM_WINDOW)
    client.send(PingFrame(opaque_data=b"all read"))
    while "ACK" not in client.read_until(PingFrame).flags:
        pass
    # What has gone to the application's side of the worker may be granted again, and no more.
    assert client.windows.get(number, 0) <= READ_AHEAD + 16_384
    script.signal("read")
    while client.windows.get(number, 0) < size - STREAM_WINDOW:
        client.read()
    client.data(number, b"x" * (size - STREAM_WINDOW), end=True)
    assert client.response(number).body == b"all"
    assert script.journal()[1] == (size, "http.request")


# ---- over TLS, with real clients


def test_alpn_chooses(server, authority):
    started = server("http_scope:app", *authority.flags)
    for offered, version in ((True, "2"), (False, "1.1")):
        with httpx.Client(http2=offered, verify=authority.trusting(), trust_env=False, timeout=60) as client:
            seen = ast.literal_eval(client.get(f"https://127.0.0.1:{started.port}/").text)["scope"]
            assert (seen["http_version"], seen["scheme"]) == (version, "https")
            assert seen["extensions"]["tls"]["tls_version"] == 0x0304


def test_large_bodies_over_tls(server, authority):
    started = server("http_bare:app", *authority.flags)
    data = os.urandom(3_000_000)
    with httpx.Client(http2=True, verify=authority.trusting(), trust_env=False, timeout=60) as client:
        response = client.post(f"https://127.0.0.1:{started.port}/echo", content=data)
        assert response.http_version == "HTTP/2"
        assert response.content == data


@pytest.mark.parametrize("encrypted", [False, True])
def test_replacing_workers_loses_no_request(server, authority, encrypted):
    started = server("hello:app", "--no-access-log", *(authority.flags if encrypted else ()))
    context = authority.trusting()
    # Without http1 httpx speaks HTTP/2 with prior knowledge.
    options = {"http1": encrypted, "http2": True, "verify": context, "trust_env": False, "timeout": 60}
    url = f"{'https' if encrypted else 'http'}://127.0.0.1:{started.port}/"
    lose_no_request(started, lambda: httpx.Client(**options), url, "HTTP/2")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_speaks_it_in_both_ways(server, authority):
    plain = server("hello:app")
    command = ["curl", "-sS", "-w", " %{http_version}"]
    url = f"http://127.0.0.1:{plain.port}/"
    said = subprocess.run([*command, "--http2-prior-knowledge", url], capture_output=True, text=True)
    assert said.stdout == "Hello, world! 2", said.stderr
    started = server("hello:app", *authority.flags)
    url = f"https://127.0.0.1:{started.port}/"
    said = subprocess.run([*command, "--cacert", authority.roots, url], capture_output=True, text=True)
    assert said.stdout == "Hello, world! 2", said.stderr


@pytest.mark.skipif(not shutil.which("h2load"), reason="needs h2load")
def test_h2load_gets_every_answer(server):
    started = server("hello:app", "--no-access-log")
    url = f"http://127.0.0.1:{started.port}/"
    said = subprocess.run(
        ["h2load", "-n", "2000", "-c", "4", "-m", "32", url], capture_output=True, text=True
    )
    assert "2000 succeeded, 0 failed" in said.stdout, said.stdout


def test_replacing_workers_loses_nothing_of_clients_that_do_not_repeat(server):
    lose_nothing_sent_once(server("hello:app", "--no-access-log"))
