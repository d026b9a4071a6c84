"""Certificates and keys for one test: an authority, what it signed, and keys in every form."""

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

PASSWORD = "between us"


class Authority:
    """An authority and the certificate it has signed for `localhost`, as files of a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._authority = trustme.CA()
        self.roots = self._file("roots.pem", self._authority.cert_pem.bytes())
        self.certificate, self.key = self.issue("server", "localhost", "127.0.0.1")

    def issue(self, name: str, *identities: str, common_name: str | None = None) -> tuple[str, str]:
        """The files of a new certificate, with its chain, and of its key."""
        issued = self._authority.issue_cert(*identities, common_name=common_name)
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        return (
            self._file(f"{name}.pem", chain),
            self._file(f"{name}.key", issued.private_key_pem.bytes()),
        )

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--ssl-certfile", self.certificate, "--ssl-keyfile", self.key)

    def trusting(self, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
        """The context of a client that trusts the authority, and shows a certificate."""
        context = ssl.create_default_context(cafile=self.roots)
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def rewritten(self, name: str, form: PrivateFormat, password: str | None = None) -> str:
        """The server's key in another form."""
        key = serialization.load_pem_private_key(Path(self.key).read_bytes(), None)
        return self._file(name, encoded(key, form, password))

    def _file(self, name: str, content: bytes) -> str:
        path = self._directory / name
        path.write_bytes(content)
        return str(path)


def encoded(key: serialization.PrivateFormat, form: PrivateFormat, password: str | None = None) -> bytes:
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    return key.private_bytes(Encoding.PEM, form, encryption)
