"""TLS: the files it is served with, what applications learn of it, and how its connections end."""

import ast
import os
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat

from harness import Server, run
from harness.authority import PASSWORD, Authority, encoded
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


# ---- the files


def test_a_request_is_answered_and_the_url_says_https(encrypted, authority):
    server = encrypted("hello:app")
    assert server.stderr.wait_for_line(r"running on https://127\.0\.0\.1:\d+ ")
    with server.connect(tls=authority.trusting()) as client:
        assert client.get("/").text == "Hello, world!"
        assert client.get("/").text == "Hello, world!"


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
def test_keys_are_taken_in_their_older_and_their_newer_form(server, authority, form):
    key = authority.rewritten("other.key", form)
    started = server("hello:app", "--ssl-certfile", authority.certificate, "--ssl-keyfile", key)
    with started.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200


def test_rsa_keys_are_taken_in_both_forms_too(server, tmp_path):
    certificate, key = self_signed(tmp_path, rsa.generate_private_key(65537, 2048))
    context = ssl.create_default_context(cafile=certificate)
    started = server("hello:app", "--ssl-certfile", certificate, "--ssl-keyfile", key)
    with started.connect(tls=context) as client:
        assert client.get("/").status == 200


def test_a_key_may_stand_in_the_certificates_file(server, authority, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(Path(authority.key).read_bytes() + Path(authority.certificate).read_bytes())
    started = server("hello:app", "--ssl-certfile", str(both))
    with started.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200


def test_an_encrypted_key_is_opened_with_its_password(server, authority):
    key = authority.rewritten("encrypted.key", PrivateFormat.PKCS8, PASSWORD)
    flags = ("--ssl-certfile", authority.certificate, "--ssl-keyfile", key)
    started = server("hello:app", *flags, env={"UVICORN_SSL_KEYFILE_PASSWORD": PASSWORD})
    with started.connect(tls=authority.trusting()) as client:
        assert client.get("/").status == 200


def refused(*flags: str, env: dict[str, str] | None = None) -> str:
    """What the server says when it is wrong usage to start it like this; the application is not imported."""
    finished = run("no_such_module:app", *flags, env=env)
    assert finished.returncode == 2, finished
    assert "no_such_module" not in finished.stderr
    return finished.stderr


def test_a_missing_file_is_told_before_anything_is_imported(authority):
    assert "--ssl-certfile: /nowhere.pem: No such file" in refused("--ssl-certfile", "/nowhere.pem")


def test_all_wrong_files_are_told_together(authority, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.touch()
    said = refused(
        *("--ssl-certfile", str(empty), "--ssl-keyfile", "/nowhere.key"),
        *("--ssl-ca-certs", authority.key, "--ssl-cert-reqs", "2"),
    )
    assert "--ssl-certfile" in said and "has no certificate in PEM" in said
    assert "--ssl-keyfile: /nowhere.key: No such file" in said
    assert "--ssl-ca-certs" in said


def test_the_key_of_another_certificate_is_refused(authority):
    _, other = authority.issue("other", "localhost")
    said = refused("--ssl-certfile", authority.certificate, "--ssl-keyfile", other)
    assert "is not the key of the first certificate in" in said


def test_a_certificate_without_any_key_is_refused(authority, tmp_path):
    bare = tmp_path / "bare.pem"
    bare.write_bytes(Path(authority.certificate).read_bytes())
    assert "name its file with --ssl-keyfile" in refused("--ssl-certfile", str(bare))


def test_a_key_without_a_certificate_is_refused(authority):
    assert "--ssl-keyfile: needs --ssl-certfile" in refused("--ssl-keyfile", authority.key)


def test_an_encrypted_key_needs_its_password_and_no_other(authority):
    key = authority.rewritten("encrypted.key", PrivateFormat.PKCS8, PASSWORD)
    flags = ("--ssl-certfile", authority.certificate, "--ssl-keyfile", key)
    assert "LOWMEM_SSL_KEYFILE_PASSWORD" in refused(*flags)
    said = refused(*flags, env={"LOWMEM_SSL_KEYFILE_PASSWORD": "wrong"})
    assert "the password does not open the key" in said


def test_openssls_old_encryption_is_refused_with_the_way_out(authority):
    key = authority.rewritten("legacy.key", PrivateFormat.TraditionalOpenSSL, PASSWORD)
    flags = ("--ssl-certfile", authority.certificate, "--ssl-keyfile", key)
    said = refused(*flags, "--ssl-keyfile-password", PASSWORD)
    assert "openssl pkcs8 -topk8" in said


def test_clients_certificates_need_roots(authority):
    assert "needs --ssl-ca-certs" in refused(*authority.flags, "--ssl-cert-reqs", "CERT_REQUIRED")


def test_the_configs_listing_keeps_the_password(authority):
    finished = run("config", "hello:app", *authority.flags, "--ssl-keyfile-password", PASSWORD)
    assert finished.returncode == 0
    assert PASSWORD not in finished.stdout and "not shown" in finished.stdout


def test_version_and_ciphers_are_taken_with_a_notice(encrypted):
    server = encrypted("hello:app", "--ssl-version", "17", "--ssl-ciphers", "TLSv1")
    assert server.stderr.wait_for_line("--ssl-version is ignored")
    assert server.stderr.wait_for_line("--ssl-ciphers is ignored")


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
    from urllib.parse import quote

    return quote(repr(script)).encode()


def self_signed(directory: Path, key: rsa.RSAPrivateKey) -> tuple[str, str]:
    """The files of a certificate that signs itself, and of its key in PKCS#1."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "self.pem", directory / "self.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(encoded(key, PrivateFormat.TraditionalOpenSSL))
    return str(certificate_file), str(key_file)
