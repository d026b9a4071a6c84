"""The requirements of a wheel's ELF files, and whether its name promises that."""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}

C_LIBRARY = re.compile(r"lib(c|m|dl|rt|util|pthread)\.so(\.\d+)?|ld-linux-[\w-]+\.so\.\d|ld-musl-\w+\.so\.1")
"""Libraries that are the C library itself."""

TAG = re.compile(r"(manylinux|musllinux)_(\d+)_(\d+)_(\w+)")
"""A platform tag (PEP 600, PEP 656)."""


@dataclass(frozen=True)
class Binary:
    """The requirements of an ELF file on the system that it runs on."""

    machine: str
    interpreter: str | None
    needed: tuple[str, ...]
    versions: tuple[str, ...] = ()
    """Versions of symbols, such as GLIBC_2.28."""
    is_executable: bool = False


def faults(binary: Binary, tag: str) -> Iterator[str]:
    """The reasons why a file does not run on every system that the platform tag promises."""
    kind, machine, newest = parts(tag)
    is_musl = kind == "musllinux"
    if binary.machine != machine:
        yield f"is for {binary.machine}"
    for library in binary.needed:
        if not C_LIBRARY.fullmatch(library):
            yield f"needs {library}"
    if binary.is_executable and not binary.interpreter:
        yield "is linked statically, and could not load libpython"
    if binary.interpreter and ("ld-musl" in binary.interpreter) != is_musl:
        yield f"is loaded by {binary.interpreter}"
    for name in binary.versions:
        number = tuple(int(part) for part in re.findall(r"\d+", name))
        if name.startswith("GLIBC_") and (is_musl or number > newest):
            yield f"needs {name}"


def is_covered(found: str, wanted: str) -> bool:
    """Whether a platform tag is the wanted one, or that of an older system, which the wanted one includes."""
    if not TAG.fullmatch(found):
        return False
    kind, machine, version = parts(found)
    return (kind, machine) == parts(wanted)[:2] and version <= parts(wanted)[2]


def parts(tag: str) -> tuple[str, str, tuple[int, int]]:
    """The kind, the machine and the C library's version of a platform tag."""
    found = TAG.fullmatch(tag)
    if found is None:
        raise ValueError(f"{tag!r} is no platform tag of Linux")
    return found[1], found[4], (int(found[2]), int(found[3]))


AUDITED = re.compile(r'platform tag: "(\w+)"')
EXTERNAL = re.compile(r"libraries are required by the wheel: (\{.*?\})")


def audited(printed: str, wanted: str) -> str | None:
    """The platform tag that `auditwheel show` finds; None if it names none.

    It knows musl by the name of Alpine's package only. Zig writes `libc.so`, which musl's loader takes for itself, as every
    name that begins with `libc.`; with this as its only objection the wheel is what it is named.
    """
    text = " ".join(printed.split())
    found, external = AUDITED.search(text), EXTERNAL.search(text)
    if found and wanted.startswith("musllinux") and external and external[1] == '{ "libc.so": null }':
        return wanted
    return found[1] if found else None


def binaries(wheel: Path) -> Iterator[tuple[str, Binary]]:
    """The ELF files of a wheel, by name."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if content.startswith(b"\x7fELF"):
                yield name, read(io.BytesIO(content), is_executable="/scripts/" in name)


def read(stream: BinaryIO, *, is_executable: bool) -> Binary:
    """Reads the headers of an ELF file."""
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection
    from elftools.elf.segments import InterpSegment

    elf = ELFFile(stream)
    interpreters = [each.get_interp_name() for each in elf.iter_segments() if isinstance(each, InterpSegment)]
    needed: list[str] = []
    versions: list[str] = []
    for section in elf.iter_sections():
        if isinstance(section, DynamicSection):
            needed += [tag.needed for tag in section.iter_tags("DT_NEEDED")]
        if isinstance(section, GNUVerNeedSection):
            versions += [version.name for _, group in section.iter_versions() for version in group]
    machine = MACHINES.get(elf["e_machine"], elf["e_machine"])
    interpreter = interpreters[0] if interpreters else None
    return Binary(machine, interpreter, tuple(needed), tuple(versions), is_executable)
