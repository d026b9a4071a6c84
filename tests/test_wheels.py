"""The parts of scripts/wheels.sh that need no build; `make wheels` itself builds, checks and runs the wheels."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness import command_line
from harness.server import REPOSITORY

SCRIPTS = REPOSITORY / "scripts"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


# --- zig in gcc's place


@pytest.fixture
def zig(tmp_path: Path) -> Path:
    """A zig that prints its arguments, one a line."""
    path = tmp_path / "zig"
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    path.chmod(0o755)
    return path


def translated(zig: Path, target: str, *arguments: str, program: str = "cc") -> list[str]:
    command = [SCRIPTS / "zig" / program, *arguments]
    environment = {**os.environ, "ZIG": str(zig), "ZIG_TARGET": target}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.mark.parametrize(
    ("typed", "passed_on"),
    [
        (["-c", "a b.c"], ["-c", "a b.c"]),
        (["--target=x86_64-unknown-linux-gnu", "-c"], ["-c"]),
        (["-target", "x86_64-unknown-linux-gnu", "-c"], ["-c"]),
        (["a.o", "-lgcc_s", "-lc", "-nodefaultlibs"], ["a.o", "-lunwind", "-lc"]),
        (["-Wl,-T,serving.ld", "-Wl,-Map=serving.map"], ["-Wl,-T,serving.ld"]),
    ],
)
def test_arguments_for_gcc_become_zigs(zig: Path, typed: list[str], passed_on: list[str]) -> None:
    target = "x86_64-linux-gnu.2.28"
    assert translated(zig, target, *typed) == ["cc", "-target", target, *passed_on]


def test_musl_is_linked_dynamically(zig: Path) -> None:
    assert translated(zig, "aarch64-linux-musl", "a.o")[3:] == ["-dynamic", "a.o"]


def test_archives_are_zigs_too(zig: Path) -> None:
    assert translated(zig, "aarch64-linux-musl", "cq", "a.a", program="ar") == ["ar", "cq", "a.a"]


@pytest.mark.parametrize("index", range(4))
def test_a_target_is_named_alike_by_rust_zig_and_pip(index: int) -> None:
    import wheels

    target = wheels.TARGETS[index]
    variables = target.cargo(Path("zig"), Path("source"), Path("target"))
    assert target.platform.endswith(target.machine) and target.zig.startswith(target.machine)
    assert target.is_musl == ("musllinux" in target.platform) == ("musl" in target.zig)
    assert variables["CARGO_BUILD_TARGET"] == target.triple
    assert ("-crt-static" in variables["CARGO_ENCODED_RUSTFLAGS"]) == target.is_musl
    assert Path(variables[f"CC_{target.triple.replace('-', '_')}"]).is_file()


# --- what a wheel may ask of a system


def binary(**changes: object) -> object:
    from wheel_contents import Binary

    fine = {
        "machine": "x86_64",
        "interpreter": "/lib64/ld-linux-x86-64.so.2",
        "needed": ("libc.so.6", "ld-linux-x86-64.so.2", "libpthread.so.0", "libdl.so.2"),
        "versions": ("GLIBC_2.2.5", "GLIBC_2.28"),
        "is_executable": True,
    }
    return Binary(**{**fine, **changes})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"is_executable": False, "interpreter": None}, None),
        ({"machine": "aarch64"}, "is for aarch64"),
        ({"versions": ("GLIBC_2.29",)}, "needs GLIBC_2.29"),
        ({"needed": ("libgcc_s.so.1",)}, "needs libgcc_s.so.1"),
        ({"needed": ("libpython3.11.so.1.0",)}, "needs libpython3.11.so.1.0"),
        ({"interpreter": None}, "is linked statically, and could not load libpython"),
        ({"interpreter": "/lib/ld-musl-x86_64.so.1"}, "is loaded by /lib/ld-musl-x86_64.so.1"),
    ],
)
def test_what_a_wheel_may_not_need(changes: dict, fault: str | None) -> None:
    from wheel_contents import faults

    assert list(faults(binary(**changes), "manylinux_2_28_x86_64")) == ([fault] if fault else [])


def test_a_wheel_for_musl_needs_no_glibc() -> None:
    from wheel_contents import faults

    musl = binary(interpreter="/lib/ld-musl-x86_64.so.1", needed=("libc.so",), versions=())
    assert not list(faults(musl, "musllinux_1_2_x86_64"))
    assert "needs GLIBC_2.28" in list(faults(binary(), "musllinux_1_2_x86_64"))


@pytest.mark.parametrize(
    ("found", "is_covered"),
    [
        ("manylinux_2_28_x86_64", True),
        ("manylinux_2_17_x86_64", True),
        ("manylinux_2_34_x86_64", False),
        ("musllinux_1_2_x86_64", False),
        ("manylinux_2_28_aarch64", False),
        ("linux_x86_64", False),
    ],
)
def test_a_wheel_may_run_on_older_systems_than_its_name_says(found: str, is_covered: bool) -> None:
    import wheel_contents

    assert wheel_contents.is_covered(found, "manylinux_2_28_x86_64") == is_covered


AUDIT = 'x is consistent with the following platform\ntag: "%s".\nlibraries are required by the\nwheel:\n%s\n'


@pytest.mark.parametrize(
    ("found", "external", "wanted", "tag"),
    [
        ("manylinux_2_28_x86_64", "{}", "manylinux_2_28_x86_64", "manylinux_2_28_x86_64"),
        ("linux_x86_64", '{\n    "libc.so": null\n}', "musllinux_1_2_x86_64", "musllinux_1_2_x86_64"),
        ("linux_x86_64", '{\n    "libc.so": null\n}', "manylinux_2_28_x86_64", "linux_x86_64"),
        ("linux_x86_64", '{\n    "libgcc_s.so.1": null\n}', "musllinux_1_2_x86_64", "linux_x86_64"),
    ],
)
def test_auditwheels_finding_is_read(found: str, external: str, wanted: str, tag: str) -> None:
    import wheel_contents

    assert wheel_contents.audited(AUDIT % (found, external), wanted) == tag
    assert wheel_contents.audited("an error", wanted) is None


@pytest.mark.skipif(len(command_line()) != 1, reason="the server under test is no single executable")
def test_the_headers_of_an_executable_are_read() -> None:
    import wheel_contents

    with open(command_line()[0], "rb") as stream:
        read = wheel_contents.read(stream, is_executable=True)
    assert read.machine == os.uname().machine
    assert read.interpreter and "/ld-" in read.interpreter
    assert any(name.startswith("libc.") for name in read.needed)
    assert any(name.startswith("GLIBC_") for name in read.versions)


# --- PyPI's page

README = """
[docs](docs/a.md#b), [there](https://example.org/x), [below](#c), ![picture](docs/a.svg), [![p](a.svg)](b.md)

```sh
echo "[not](a.link)"
```
"""


def test_links_of_the_page_lead_to_the_repository() -> None:
    from pypi_page import presented

    page = presented(README, "https://example.org/us/it", "v1.2")
    assert "[docs](https://example.org/us/it/blob/v1.2/docs/a.md#b)" in page
    assert "[there](https://example.org/x), [below](#c)" in page
    assert "![picture](https://example.org/us/it/raw/v1.2/docs/a.svg)" in page
    assert "[not](a.link)" in page


def test_without_a_known_repository_the_page_has_no_link_that_leads_nowhere() -> None:
    from pypi_page import LINK, presented

    page = presented(README, None, "v1.2")
    assert page.startswith("\ndocs, [there](https://example.org/x), [below](#c), picture, p\n")
    readme = presented((REPOSITORY / "README.md").read_text(), None, "v1.2")
    assert [found["to"] for found in LINK.finditer(readme) if not found["to"].startswith(("http", "#"))] == []


def test_the_projects_addresses_are_a_table_of_pyproject(tmp_path: Path) -> None:
    import tomllib

    from pypi_page import prepare

    for name in ("README.md", "pyproject.toml"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    prepare(tmp_path, "https://example.org/us/it", "1.2")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Changelog"] == "https://example.org/us/it/blob/v1.2/CHANGELOG.md"


# --- the script


def test_an_unknown_product_is_refused_with_those_that_exist() -> None:
    command = [sys.executable, SCRIPTS / "wheels.py", "manylinux_2_28_sparc"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "manylinux_2_28_sparc is none of sdist, manylinux_2_28_x86_64" in ended.stderr


def test_a_product_that_fails_is_told_and_hinders_no_other() -> None:
    import wheels

    def steps():
        yield "2.4 MB"
        raise wheels.NotBuilt("no zig")

    assert wheels.report("musllinux_1_2_x86_64", steps()).line() == "musllinux_1_2_x86_64: no zig"
    assert wheels.report("sdist", iter(["a", "b"])).line() == "sdist: a; b"


def test_the_fallback_wheel_has_the_metadata_and_no_binary(tmp_path: Path) -> None:
    import fallback_wheel

    real = tmp_path / "lowmem_serve-1.2-cp311-abi3-manylinux_2_28_x86_64.whl"
    information = "lowmem_serve-1.2.dist-info"
    with zipfile.ZipFile(real, "w") as archive:
        archive.writestr("lowmem_serve/__init__.py", "")
        archive.writestr("lowmem_serve/_core.abi3.so", b"\x7fELF...")
        archive.writestr("lowmem_serve-1.2.data/scripts/lowmem-serve", b"\x7fELF...")
        archive.writestr(
            f"{information}/METADATA", "Metadata-Version: 2.4\nName: lowmem-serve\nVersion: 1.2\n"
        )
        archive.writestr(f"{information}/entry_points.txt", "[pytest11]\na = b\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr(f"{information}/RECORD", "")
    made = fallback_wheel.make(real, tmp_path)
    assert made.name == "lowmem_serve-1.2-py3-none-macosx_10_12_universal2.win_amd64.win_arm64.whl"
    # pip checks RECORD, names and tags; this machine would not take the wheel for itself.
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    where = tmp_path / "installed"
    foreign = ["--platform", "macosx_14_0_universal2", "--only-binary=:all:", "--target", where]
    subprocess.run([*pip, *foreign, made], check=True)
    installed = sorted(str(path.relative_to(where)) for path in where.rglob("*") if path.is_file())
    assert not [name for name in installed if name.endswith(".so")]
    entries = (where / information / "entry_points.txt").read_text()
    assert "[pytest11]" in entries and "lowmem-serve = lowmem_serve.fallback:main" in entries


# --- the release workflow


def workflow() -> dict:
    import yaml

    return yaml.safe_load((REPOSITORY / ".github/workflows/release.yml").read_text())


def test_a_release_builds_what_the_script_can() -> None:
    import wheels

    built = [each["platform"] for each in workflow()["jobs"]["wheel"]["strategy"]["matrix"]["include"]]
    assert sorted(built) == sorted(target.platform for target in wheels.TARGETS)


def test_a_releases_scripts_exist() -> None:
    import re

    text = (REPOSITORY / ".github/workflows/release.yml").read_text()
    scripts = {*re.findall(r"scripts/[\w.-]+", text)}
    assert {"scripts/wheels.sh", "scripts/wheel-smoke.sh"} <= scripts
    assert [name for name in scripts if not (REPOSITORY / name).is_file()] == []


def test_only_the_upload_may_ask_for_an_identity() -> None:
    release = workflow()
    assert release["permissions"] == {"contents": "read"}
    allowed = {name for name, job in release["jobs"].items() if "id-token" in job.get("permissions", {})}
    assert allowed == {"publish"}
    assert set(release["jobs"]["publish"]["needs"]) == {"wheel", "others", "fallback"}


@pytest.mark.skipif(len(command_line()) != 1, reason="the server under test is no single executable")
def test_the_smoke_test_asks_an_installed_server(tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    # Nothing is installed: the tree's server stands where the wheel's would.
    python.write_text(f'#!/bin/sh\n[ "$1" = -m ] && exit 0\nexec {sys.executable} "$@"\n')
    server = python.with_name("lowmem-serve")
    server.write_text(f'#!/bin/sh\nexec {command_line()[0]} --python {sys.executable} "$@"\n')
    for program in (python, server):
        program.chmod(0o755)
    ended = subprocess.run(
        [SCRIPTS / "wheel-smoke.sh", tmp_path / "venv", tmp_path], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("served and stopped\n")
