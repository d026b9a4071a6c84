"""The wheel for systems that the server does not run on: the package without binaries, whose command runs Uvicorn.

It is made of a wheel with binaries, so that their metadata are the same, which resolvers take for granted.
"""

import base64
import hashlib
import zipfile
from pathlib import Path

TAGS = ("macosx_10_12_universal2", "win_amd64", "win_arm64")
"""Not `any`: on a Linux without a wheel pip should build the server from its source, and not take this."""

ENTRY_POINT = "[console_scripts]\nlowmem-serve = lowmem_serve.fallback:main\n"


def make(wheel: Path, directory: Path) -> Path:
    """Writes it into the directory."""
    files = contents(wheel)
    name, version = wheel.name.split("-")[:2]
    platforms = ".".join(TAGS)
    made = directory / f"{name}-{version}-py3-none-{platforms}.whl"
    information = f"{name}-{version}.dist-info"
    entries = f"{information}/entry_points.txt"
    files[entries] = files.get(entries, b"") + b"\n" + ENTRY_POINT.encode()
    files[f"{information}/WHEEL"] = description()
    record = f"{information}/RECORD"
    files[record] = "".join([*(line(*each) for each in files.items()), f"{record},,\n"]).encode()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            # A fixed time: the same files make the same wheel.
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    """The files that are text: the package and its metadata, without RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        files = {
            name: archive.read(name) for name in archive.namelist() if not name.endswith(("/", "/RECORD"))
        }
    return {name: content for name, content in files.items() if not content.startswith(b"\x7fELF")}


def description() -> bytes:
    """The file WHEEL (the binary distribution format)."""
    lines = ["Wheel-Version: 1.0", "Generator: lowmem-serve", "Root-Is-Purelib: true"]
    lines += [f"Tag: py3-none-{tag}" for tag in TAGS]
    return "\n".join([*lines, ""]).encode()


def line(path: str, content: bytes) -> str:
    """A line of RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"
