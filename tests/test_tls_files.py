"""TLS: the files that it is served with, and what is said of those that it cannot be served with."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from harness import run
from harness.authority import PASSWORD, encoded


def refused(*flags: str, env: dict[str, str] | None = None) -> str:
    """What the server says when it is wrong usage to start it like this; the application is not imported."""
    finished = run("no_such_module:app", *flags, env=env)
    assert finished.returncode == 2, finished
    assert "no_such_module" not in finished.stderr
    return finished.stderr


def self_signed(directory: Path, key: rsa.RSAPrivateKey) -> tuple[str, str]:
    """The files of a certificate that signs itself, and of its key in PKCS#1."""
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
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(encoded(key, PrivateFormat.TraditionalOpenSSL))
    return str(certificate_file), str(key_file)


# ---- taken


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


# ---- refused


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


def test_version_and_ciphers_are_taken_with_a_notice(server, authority):
    started = server("hello:app", *authority.flags, "--ssl-version", "17", "--ssl-ciphers", "TLSv1")
    assert started.stderr.wait_for_line("--ssl-version is ignored")
    assert started.stderr.wait_for_line("--ssl-ciphers is ignored")
