"""docs/systemd.md: its units, as systemd reads them and as the server reads their command lines."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import command_line, run
from harness.documented import files

UNITS = files("systemd.md")
ANALYZE = shutil.which("systemd-analyze")


def test_there_are_the_units_that_are_tested() -> None:
    assert set(UNITS) == {"shop.service", "shop.socket", "lowmem-serve.service"}


@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is missing: apt install systemd")
@pytest.mark.parametrize("name", sorted(UNITS))
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path, name: str) -> None:
    assert ANALYZE
    # What they start need not be installed here.
    for unit, text in UNITS.items():
        (tmp_path / unit).write_text(re.sub(r"/\S+/lowmem-serve\b(?!/)", shutil.which("true") or "", text))
    finished = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, timeout=60
    )
    told = finished.stdout + finished.stderr
    assert finished.returncode == 0 and not [line for line in told.splitlines() if str(tmp_path) in line], (
        told
    )


@pytest.mark.parametrize("name", [name for name in sorted(UNITS) if name.endswith(".service")])
def test_the_server_takes_their_command_lines(tmp_path: Path, name: str) -> None:
    (started,) = re.findall(r"^ExecStart=(\S+) (.*)$", UNITS[name], re.MULTILINE)
    program, flags = started[0], shlex.split(started[1])
    assert program.endswith("/lowmem-serve") and command_line()
    if "--config" in flags:
        (tmp_path / "shop").mkdir()
        fleet = tmp_path / "fleet.toml"
        fleet.write_text('[apps.shop]\napp = "main:app"\ndirectory = "shop"\nbind = ["unix:shop.sock"]\n')
        flags = ["--config", str(fleet)]
    finished = run("config", *flags, cwd=tmp_path)
    assert finished.returncode == 0, finished
