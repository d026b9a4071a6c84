"""The comparison's own environment: a venv for the peers, and wrk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BENCHES = Path(__file__).resolve().parent.parent
APPS = BENCHES / "apps"
VENV = BENCHES / ".venv"
REQUIREMENTS = BENCHES / "requirements.txt"
OPTIONAL = BENCHES / "requirements-optional.txt"
INSTALLED = VENV / "installed-requirements.txt"
"""A copy of the requirements that the venv was filled from, written last."""

VENV_PYTHON = VENV / "bin" / "python"

CERTIFICATE = VENV / "localhost.pem"
KEY = VENV / "localhost-key.pem"
"""Self-signed, for the rows over TLS."""


class CannotPrepare(Exception):
    """Something that the comparison needs is missing and could not be installed."""


def prepare(upgrade: bool) -> None:
    """Create and fill the venv, make a certificate, and install the load generators, unless that has been done."""
    prepare_venv(upgrade)
    _prepare_command("wrk", "wrk")
    _prepare_command("h2load", "nghttp2-client")
    _prepare_command("openssl", "openssl")
    _prepare_certificate()


def borrow_packages(venv: Path = VENV) -> None:
    """Let this process import from a venv: load generators and pictures need packages, too."""
    site_packages = venv.glob("lib/python3*/site-packages")
    sys.path.extend(str(path) for path in site_packages)


def versions() -> dict[str, str]:
    """Return the version of each package in the venv, and of Python, wrk and node."""
    listing = subprocess.run(
        [VENV_PYTHON, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = {package["name"].lower(): package["version"] for package in json.loads(listing.stdout)}
    found["python"] = _first_line([str(VENV_PYTHON), "--version"]).removeprefix("Python ")
    found["wrk"] = " ".join(_first_line(["wrk", "--version"]).split()[1:2])
    if shutil.which("node"):
        found["node"] = _first_line(["node", "--version"]).removeprefix("v")
    return found


def version_of(binary: Path, python: Path = VENV_PYTHON) -> str:
    """Return what `binary --version` says first about itself and the Python that it embeds."""
    return _first_line([str(binary), "--python", str(python), "--version"])


def prepare_venv(upgrade: bool) -> None:
    """Create and fill the venv, unless that has been done."""
    wanted = REQUIREMENTS.read_text() + OPTIONAL.read_text()
    current = INSTALLED.read_text() if INSTALLED.exists() else None
    if current == wanted and not upgrade:
        return
    if not VENV_PYTHON.exists():
        print(f"creating {_shown(VENV)} with Python {sys.version.split()[0]}", flush=True)
        _run([sys.executable, "-m", "venv", str(VENV)])
    print(f"installing {_shown(REQUIREMENTS)} into {_shown(VENV)}", flush=True)
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--upgrade", "-r", str(REQUIREMENTS)])
    for requirement in _lines(OPTIONAL):
        if subprocess.run([*pip, requirement], capture_output=True).returncode:
            print(f"not available for this Python, left out: {requirement}", flush=True)
    # Otherwise the first server of the first round would pay for compiling the applications.
    _run([str(VENV_PYTHON), "-m", "compileall", "-q", str(APPS)])
    INSTALLED.write_text(wanted)


def prepared_venv(venv: Path, requirements: Sequence[Path]) -> Path:
    """Create and fill a venv of its own for a bench, unless that has been done; its Python."""
    python, installed = venv / "bin" / "python", venv / "installed-requirements.txt"
    wanted = "".join(path.read_text() for path in requirements)
    if installed.exists() and installed.read_text() == wanted:
        return python
    if not python.exists():
        print(f"creating {_shown(venv)} with Python {sys.version.split()[0]}", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", str(venv)])
    print(f"installing what the case needs into {_shown(venv)}", file=sys.stderr, flush=True)
    files = [word for path in requirements for word in ("-r", str(path))]
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *files])
    installed.write_text(wanted)
    return python


def _prepare_certificate() -> None:
    if CERTIFICATE.exists() and KEY.exists():
        return
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650")
    files = ("-keyout", str(KEY), "-out", str(CERTIFICATE))
    _run(["openssl", "req", "-x509", *curve, *subject, *files])


def _prepare_command(name: str, package: str) -> None:
    if shutil.which(name):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotPrepare(f"{name} is not on PATH: install it (Debian, Ubuntu: apt-get install {package})")
    print(f"installing {package} with apt-get", flush=True)
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    if subprocess.run(install, capture_output=True).returncode:
        _run(["apt-get", "update", "--quiet"])
        _run(install)


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CannotPrepare(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}".rstrip())


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _shown(path: Path) -> str:
    return str(path.relative_to(BENCHES.parent))


def without_folder(text: str) -> str:
    """Return the text with paths inside this checkout made relative to it."""
    return text.replace(f"{BENCHES.parent}/", "")
