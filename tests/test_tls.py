"""TLS: what applications learn of it, how its connections end, and what becomes of them when workers do."""

import ast
import os
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from harness import Server
from harness.authority import Authority
from harness.replacing import lose_no_request

TLS13, TLS12 = 0x0304, 0x0303

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture
def encrypted(server, authority: Authority):
    """Starts servers that speak TLS with the authority's certificate."""
    return lambda app, *flags, **options: server(app, *authority.flags, *flags, **options)


def scope_of(server: Server, tls: ssl.SSLContext) -> dict:
    with server.connect(tls=tls) as client:
        return ast.literal_eval(client.get("/").text)["scope"]


def pem(path: str) -> str:
    return ssl.DER_cert_to_PEM_cert(
        ssl.PEM_cert_to_DER_cert(Path(path).read_text().split("-----END")[0] + "-----END CERTIFICATE-----")
    )


def test_a_request_is_answered_and_the_url_says_https(encrypted, authority):
    server = encrypted("hello:app")
    assert server.stderr.wait_for_line(r"running on https://127\.0\.0\.1:\d+ ")
    with server.connect(tls=authority.trusting()) as client:
        assert client.get("/").text == "Hello, world!"
        assert client.get("/").text == "Hello, world!"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_a_protocol_in_common_is_told_so(encrypted, authority, version):
    tls = authority.trusting()
    tls.minimum_version = tls.maximum_version = version
    tls.set_alpn_protocols(["spdy/1"])
    started = encrypted("hello:app")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.no.application.protocol"):
        started.connect(tls=tls)


def test_a_client_of_http10_finds_its_protocol(encrypted, authority):
    tls = authority.trusting()
    tls.set_alpn_protocols(["http/1.0"])
    with encrypted("hello:app").connect(tls=tls) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.0"
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.read_response().text == "Hello, world!"


# ---- what applications learn


def test_the_scope_tells_of_tls(encrypted, authority):
    scope = scope_of(encrypted("http_scope:app"), authority.trusting())
    assert scope["scheme"] == "https"
    tls = scope["extensions"]["tls"]
    assert tls["server_cert"] == pem(authority.certificate)
    assert tls["client_cert_chain"] == []
    assert tls["client_cert_name"] is None
    assert tls["client_cert_error"] is None
    assert tls["tls_version"] == TLS13
    assert tls["cipher_suite"] in (0x1301, 0x1302, 0x1303)


def test_the_scope_tells_of_an_older_version(encrypted, authority):
    context = authority.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = scope_of(encrypted("http_scope:app"), context)["extensions"]["tls"]
    assert tls["tls_version"] == TLS12
    assert tls["cipher_suite"] in (0xC02B, 0xC02C, 0xCCA9)


def test_the_scope_has_the_clients_certificate(encrypted, authority):
    flags = ("--ssl-ca-certs", authority.roots, "--ssl-cert-reqs", "2")
    client = authority.issue("client", "client@example.com", common_name="Ann")
    tls = scope_of(encrypted("http_scope:app", *flags), authority.trusting(client))["extensions"]["tls"]
    assert tls["client_cert_chain"][0] == pem(client[0])
    assert "CN=Ann" in tls["client_cert_name"].split(",")
    assert tls["client_cert_error"] is None


def test_a_client_without_a_certificate_is_refused_or_not_as_asked(encrypted, authority):
    roots = ("--ssl-ca-certs", authority.roots)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        scope_of(encrypted("http_scope:app", *roots, "--ssl-cert-reqs", "required"), authority.trusting())
    optional = encrypted("http_scope:app", *roots, "--ssl-cert-reqs", "1")
    assert scope_of(optional, authority.trusting())["extensions"]["tls"]["client_cert_name"] is None


def test_a_certificate_from_elsewhere_is_refused_even_where_none_is_needed(encrypted, authority, tmp_path):
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    stranger = Authority(strangers).issue("client", "client@example.com")
    server = encrypted("http_scope:app", "--ssl-ca-certs", authority.roots, "--ssl-cert-reqs", "1")
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        scope_of(server, authority.trusting(stranger))


# ---- connections


def test_a_plain_request_is_told_what_the_port_speaks(encrypted):
    with encrypted("hello:app").connect() as client:
        response = client.get("/")
        assert response.status == 400 and "https://" in response.text
        assert client.is_closed_by_server()


def test_what_is_no_tls_at_all_ends_the_connection_and_nothing_else(encrypted, authority):
    server = encrypted("hello:app")
    with server.connect() as client:
        client.send(b"\x16\x03\x01\xff\xff" + b"\0" * 100)
        client.half_close()
        client.socket.settimeout(10)
        while client.socket.recv(100):
            pass
    with server.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200


def test_a_handshake_has_its_time(encrypted, authority):
    server = encrypted("hello:app", "--timeout-ssl-handshake", "2")
    with server.connect() as silent:
        assert silent.is_closed_by_server()
    with server.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200


def test_bodies_of_every_size_pass_both_ways(encrypted, authority):
    server = encrypted("http_bare:app")
    with server.connect(tls=authority.trusting()) as client:
        for size in (0, 1, 16_383, 16_384, 16_385, 70_000, 3_000_000):
            body = os.urandom(size)
            assert client.request("POST", "/echo", body=body).body == body


def test_a_client_that_reads_late_gets_all_of_it(encrypted, authority):
    server = encrypted("http_bare:app")
    body = os.urandom(8_000_000)
    with server.connect(tls=authority.trusting()) as client:
        client.send(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 8000000\r\n\r\n" + body)
        # More than the sockets hold: the server has to wait for the client and go on.
        with server.connect(tls=authority.trusting()) as other:
            assert other.get("/").status == 200
        assert client.read_response().body == body


def test_an_idle_connection_rests_and_goes_on(encrypted, authority):
    server = encrypted("hello:app", "--timeout-keep-alive", "30")
    with server.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200
        assert not readable(client.socket, seconds=1)
        assert client.get("/").status == 200


def test_an_idle_connection_ends_with_a_close_notify(encrypted, authority):
    server = encrypted("hello:app", "--timeout-keep-alive", "0.4")
    with server.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200
        # Without close_notify this raises SSLEOFError.
        assert client.socket.recv(1) == b""


def test_a_response_that_breaks_off_does_not_end_with_a_close_notify(encrypted, authority):
    server = encrypted("http_script:app")
    context = authority.trusting()
    script = [
        ("send", {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]}),
        ("send", {"type": "http.response.body", "body": b"short", "more_body": True}),
    ]
    with server.connect(tls=context) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\nx-id: broken\r\nx-script: " + quoted(script) + b"\r\n\r\n")
        assert client.read_head().status == 200
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            client.read_exactly(9)


def test_sessions_are_resumed(encrypted, authority):
    server = encrypted("hello:app")
    context = authority.trusting()
    with server.connect(tls=context) as client:
        assert client.get("/").status == 200
        session = client.socket.session
    again = context.wrap_socket(
        socket.create_connection(server.address), server_hostname="localhost", session=session
    )
    with again:
        again.sendall(GET)
        assert again.recv(1000).startswith(b"HTTP/1.1 200")
        assert again.session_reused


# ---- replacing workers


def test_a_new_certificate_is_served_after_sighup(encrypted, authority):
    server = encrypted("http_scope:app", "--timeout-keep-alive", "30")
    with server.connect(tls=authority.trusting()) as before:
        assert before.get("/").status == 200
        old = pem(authority.certificate)
        certificate, key = authority.issue("renewed", "localhost")
        shutil.copy(certificate, authority.certificate)
        shutil.copy(key, authority.key)
        server.send_signal(signal.SIGHUP)
        server.stderr.wait_for_line("Shutting down")
        # The old connection is heard a last time, and told to go.
        response = before.get("/")
        assert response.status == 200
        assert response.header("connection") == "close"
        assert ast.literal_eval(response.text)["scope"]["extensions"]["tls"]["server_cert"] == old
        assert before.socket.recv(1) == b""
    server.stderr.wait_for_line("Recycled worker")
    tls = scope_of(server, authority.trusting())["extensions"]["tls"]
    assert tls["server_cert"] == pem(certificate) != old


def test_a_broken_certificate_leaves_the_old_worker_serving(encrypted, authority):
    server = encrypted("hello:app")
    Path(authority.certificate).write_text("nothing")
    server.send_signal(signal.SIGHUP)
    server.stderr.wait_for_line("has no certificate in PEM")
    with server.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200


def test_replacing_workers_loses_no_request(encrypted, authority):
    server = encrypted("hello:app", "--no-access-log")
    context = authority.trusting()
    url = f"https://127.0.0.1:{server.port}/"
    lose_no_request(server, lambda: httpx.Client(verify=context, trust_env=False), url, "HTTP/1.1")


def test_an_idle_connection_ends_properly_when_the_server_stops(encrypted, authority):
    server = encrypted("hello:app", "--timeout-keep-alive", "30")
    with server.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200
        assert not readable(client.socket, seconds=0.5)
        server.send_signal(signal.SIGTERM)
        assert client.socket.recv(1) == b""
    assert server.wait() == 0


# ---- real clients


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_with_a_certificate_of_its_own(encrypted, authority):
    certificate, key = authority.issue("client", "client@example.com", common_name="Bo")
    server = encrypted("http_scope:app", "--ssl-ca-certs", authority.roots, "--ssl-cert-reqs", "2")
    url = f"https://localhost:{server.port}/"
    resolve = f"localhost:{server.port}:127.0.0.1"
    command = ["curl", "-sS", "--cacert", authority.roots, "--resolve", resolve, url]
    answer = subprocess.run([*command, "--cert", certificate, "--key", key], capture_output=True, text=True)
    assert "CN=Bo" in answer.stdout, answer.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def readable(connection: socket.socket, seconds: float) -> bool:
    """Whether something comes within the time."""
    before = connection.gettimeout()
    connection.settimeout(seconds)
    try:
        connection.recv(1)
    except TimeoutError:
        return False
    finally:
        connection.settimeout(before)
    return True


def quoted(script: list) -> bytes:
    return quote(repr(script)).encode()
