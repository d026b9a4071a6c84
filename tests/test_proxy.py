"""Behind proxies: header fields that tell of the client, and the PROXY protocol."""

import ast
import os
import signal
import socket
import struct
from pathlib import Path

import pytest

from harness import RawClient, Server, run
from harness.websocket_client import WebSocketClient

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def seen(server: Server, *headers: tuple[str, str]) -> tuple[list, str]:
    """Client and scheme, as the application has them."""
    told = server.get("/", list(headers)).json()
    return told["client"], told["scheme"]


def version_2(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(payload)) + payload


def ipv4(client: str, server: str, ports: tuple[int, int]) -> bytes:
    return socket.inet_aton(client) + socket.inet_aton(server) + struct.pack("!HH", *ports)


# --- X-Forwarded-For and X-Forwarded-Proto


def test_a_local_proxy_is_believed_as_it_is(server) -> None:
    started = server("mirror:app")
    fields = [("X-Forwarded-For", "1.1.1.1, 9.9.9.9"), ("X-Forwarded-Proto", "https")]
    assert seen(started, *fields) == (["9.9.9.9", 0], "https")
    started.stdout.wait_for_line(r'9\.9\.9\.9:0 - "GET / HTTP/1\.1" 200')


def test_requests_of_one_connection_may_have_different_clients(server) -> None:
    with server("mirror:app").connect() as client:
        host, port = client.socket.getsockname()
        assert client.get("/", {"x-forwarded-for": "9.9.9.9:80"}).json()["client"] == ["9.9.9.9", 80]
        assert client.get("/", {"x-forwarded-for": "[2001:db8::9]"}).json()["client"] == ["2001:db8::9", 0]
        assert client.get("/").json()["client"] == [host, port]
        assert client.get("/", {"x-forwarded-for": ""}).json()["client"] == [host, port]


def test_several_fields_are_one_chain_and_trusted_hops_are_passed_over(server) -> None:
    started = server("mirror:app", "--forwarded-allow-ips", "127.0.0.0/8,10.0.0.0/8")
    fields = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "9.9.9.9, 10.1.2.3")]
    assert seen(started, *fields)[0] == ["9.9.9.9", 0]


def test_with_a_star_the_leftmost_is_the_client(server) -> None:
    started = server("mirror:app", "--forwarded-allow-ips", "*")
    assert seen(started, ("X-Forwarded-For", "1.1.1.1, 9.9.9.9"))[0] == ["1.1.1.1", 0]


@pytest.mark.parametrize(
    "flags",
    [
        ("--no-proxy-headers",),
        ("--proxy-headers=false",),
        ("--forwarded-allow-ips", "10.0.0.0/8"),
        ("--forwarded-allow-ips", ""),
    ],
)
def test_no_other_peer_is_believed(server, flags: tuple[str, ...]) -> None:
    client, scheme = seen(
        server("mirror:app", *flags), ("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https")
    )
    assert (client[0], scheme) == ("127.0.0.1", "http")


@pytest.mark.parametrize(
    "name", ["LOWMEM_FORWARDED_ALLOW_IPS", "UVICORN_FORWARDED_ALLOW_IPS", "FORWARDED_ALLOW_IPS"]
)
def test_the_list_comes_from_the_environment(server, name: str) -> None:
    started = server("mirror:app", env={name: "10.0.0.1"})
    assert seen(started, ("X-Forwarded-For", "9.9.9.9"))[0][0] == "127.0.0.1"


def test_the_list_may_stand_in_the_env_file_and_a_typed_one_wins(server, tmp_path: Path) -> None:
    env_file = tmp_path / "app.env"
    env_file.write_text("FORWARDED_ALLOW_IPS=10.0.0.1\n")
    field = ("X-Forwarded-For", "9.9.9.9")
    from_file = server("mirror:app", "--env-file", str(env_file))
    assert seen(from_file, field)[0][0] == "127.0.0.1"
    typed = server("mirror:app", "--env-file", str(env_file), "--forwarded-allow-ips", "127.0.0.1")
    assert seen(typed, field)[0] == ["9.9.9.9", 0]


def test_a_network_that_is_none_is_wrong_usage() -> None:
    ended = run("mirror:app", "--forwarded-allow-ips", "127.0.0.1,10.0.0.0/33")
    assert ended.returncode == 2
    assert "10.0.0.0/33" in ended.stderr


@pytest.mark.parametrize(("allowed", "believed"), [("127.0.0.1", False), ("unix:", True), ("*", True)])
def test_a_proxy_on_a_unix_socket_has_to_be_named(
    server, tmp_path: Path, allowed: str, believed: bool
) -> None:
    started = server("mirror:app", "--uds", str(tmp_path / "a.sock"), "--forwarded-allow-ips", allowed)
    client, scheme = seen(started, ("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https"))
    assert (client, scheme) == ((["9.9.9.9", 0], "https") if believed else (None, "http"))


@pytest.mark.parametrize(("proto", "scheme"), [("https", "wss"), ("wss", "wss"), ("http", "ws")])
def test_websockets_are_seen_through_in_the_same_way(server, proto: str, scheme: str) -> None:
    started = server("websocket_scope:app")
    with WebSocketClient(started.address) as client:
        client.open("/", [("X-Forwarded-For", "9.9.9.9:80"), ("X-Forwarded-Proto", proto)])
        scope = ast.literal_eval(client.read_frame().payload.decode())
    assert (scope["client"], scope["scheme"]) == (("9.9.9.9", 80), scheme)


# --- Forwarded


def test_forwarded_is_read_instead_where_asked_for(server) -> None:
    started = server("mirror:app", "--forwarded-header", "forwarded")
    field = ("Forwarded", 'for=1.1.1.1;proto=http, for="[2001:db8::9]:80";proto=https')
    assert seen(started, field, ("X-Forwarded-For", "8.8.8.8")) == (["2001:db8::9", 80], "https")
    assert seen(started, ("X-Forwarded-For", "8.8.8.8"))[0][0] == "127.0.0.1"


def test_forwarded_is_not_read_unless_asked_for(server) -> None:
    assert seen(server("mirror:app"), ("Forwarded", "for=9.9.9.9"))[0][0] == "127.0.0.1"


# --- the PROXY protocol


HEADERS = {
    "version 1": b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
    "version 2": version_2(1, 0x11, ipv4("192.0.2.1", "192.0.2.2", (56324, 443))),
    "version 2 with an extension": version_2(
        1, 0x11, ipv4("192.0.2.1", "192.0.2.2", (56324, 443)) + b"\x04\x00\x03abc"
    ),
}


@pytest.fixture
def behind_proxy(server) -> Server:
    return server("mirror:app", "--proxy-protocol")


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_both_ends_are_those_of_the_proxys_connection(behind_proxy: Server, header: bytes) -> None:
    with behind_proxy.connect() as client:
        client.send(header + GET)
        told = client.read_response().json()
        assert (told["client"], told["server"]) == (["192.0.2.1", 56324], ["192.0.2.2", 443])
        # The header is said once, for the whole connection.
        assert client.get("/").json()["client"] == ["192.0.2.1", 56324]
    behind_proxy.stdout.wait_for_line(r'192\.0\.2\.1:56324 - "GET / HTTP/1\.1" 200')


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_may_come_in_pieces(behind_proxy: Server, header: bytes) -> None:
    with behind_proxy.connect() as client:
        for byte in header + GET:
            client.send(bytes([byte]))
        assert client.read_response().json()["client"] == ["192.0.2.1", 56324]


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", version_2(0, 0, b""), version_2(1, 0x31, bytes(216)), version_2(1, 0, b"")],
    ids=["unknown", "local", "unix", "unspecified"],
)
def test_a_proxy_that_names_no_client_is_the_client_itself(behind_proxy: Server, header: bytes) -> None:
    with behind_proxy.connect() as client:
        client.send(header + GET)
        assert client.read_response().json()["client"] == list(client.socket.getsockname())


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (GET, "no PROXY protocol header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "malformed"),
        (b"PROXY TCP4 " + bytes(200), "too long"),
        (version_2(3, 0x11, bytes(12)), "unknown version or command"),
        (version_2(1, 0x11, bytes(4)), "without its addresses"),
    ],
)
def test_a_broken_header_closes_the_connection_and_is_logged(
    behind_proxy: Server, sent: bytes, why: str
) -> None:
    with behind_proxy.connect() as client:
        client.send(sent)
        assert client.is_closed_by_server()
    behind_proxy.stderr.wait_for_line(f"WARNING: .*{why}.*closed")


def test_a_header_that_does_not_come_is_not_waited_for_without_end(server) -> None:
    started = server("mirror:app", "--proxy-protocol", "--timeout-header-read", "0.3")
    with started.connect() as client:
        client.send(b"PROXY TCP4 ")
        assert client.is_closed_by_server()
    started.stderr.wait_for_line("no PROXY protocol header in time")


def test_a_peer_that_is_no_trusted_proxy_speaks_http_and_nothing_else(server) -> None:
    started = server("mirror:app", "--proxy-protocol", "--forwarded-allow-ips", "10.0.0.0/8")
    assert started.get("/").json()["client"][0] == "127.0.0.1"
    with started.connect() as client:
        client.send(HEADERS["version 1"] + GET)
        assert client.read_response().status == 400


def test_without_the_flag_the_header_is_no_request(server) -> None:
    with server("mirror:app").connect() as client:
        client.send(HEADERS["version 1"] + GET)
        assert client.read_response().status == 400


def test_a_unix_socket_keeps_its_path(server, tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    server("mirror:app", "--proxy-protocol", "--uds", path, "--forwarded-allow-ips", "unix:")
    with RawClient(path) as client:
        client.send(HEADERS["version 2"] + GET)
        told = client.read_response().json()
    assert (told["client"], told["server"]) == (["192.0.2.1", 56324], [path, None])


def test_a_connection_behind_a_proxy_moves_to_the_successor_as_it_is(behind_proxy: Server) -> None:
    with behind_proxy.connect() as client, behind_proxy.connect() as unread:
        client.send(HEADERS["version 1"] + GET)
        first = client.read_response().json()["pid"]
        os.kill(behind_proxy.pid, signal.SIGHUP)
        behind_proxy.stderr.wait_for_line("Recycled worker")
        moved = client.get("/").json()
        assert moved["client"] == ["192.0.2.1", 56324]
        assert moved["pid"] != first
        # A silent connection is not waited for.
        assert unread.is_closed_by_server()


# --- peers that are not trusted


@pytest.mark.parametrize("header", ["x-forwarded", "forwarded"])
def test_a_proxy_that_is_not_trusted_is_named_once(server, header: str) -> None:
    started = server("mirror:app", "--forwarded-allow-ips", "10.0.0.0/8", "--forwarded-header", header)
    other = ("Forwarded", "for=9.9.9.9") if header == "x-forwarded" else ("X-Forwarded-For", "9.9.9.9")
    own = ("X-Forwarded-For", "9.9.9.9") if header == "x-forwarded" else ("Forwarded", "for=9.9.9.9")
    for fields in ([], [own], [own, other]):
        assert started.get("/", fields).status == 200
    started.stderr.wait_for_line(
        r"WARNING: .* from 127\.0\.0\.1 are ignored.*: --forwarded-allow-ips 127\.0\.0\.1\.", 10
    )
    assert started.stderr.text.count("no trusted proxy") == 1
    trusting = server("mirror:app")
    assert trusting.get("/", [own]).status == 200
    assert "no trusted proxy" not in trusting.stderr.text
