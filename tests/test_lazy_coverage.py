"""coverage.py says the same of an application with and without `--lazy-imports`."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from conftest import Start

pytest.importorskip("coverage")

SETTINGS = """
[run]
source = measured
branch = true
parallel = true
data_file = {data}
"""

MODULE = '''
"""What is measured: imports in each form, used and unused."""

import colorsys
import sys
import wave as waves
from fractions import (
    Fraction,
)
from decimal import Decimal, Inexact as NotExact

from measured.part import third


def colours(red):
    if red:
        return colorsys.rgb_to_hsv(1, 0, 0)
    return colorsys.rgb_to_hsv(0, 0, 1)


class Shop:
    price = 1

    def pay(self):
        return Fraction(third()) + 1


async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/never":
        print(waves, Decimal, NotExact)
    colours(scope["path"] == "/red")
    Shop().pay()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%r" % ("wave" in sys.modules)})
'''

PART = """
import statistics
from email.mime import text, base


def third():
    return statistics.mean([1, 2, 3])


def never():
    return text, base
"""


def measured(server: Start, directory: Path, *flags: str) -> dict[str, list[list[int]]]:
    """The lines and branches that were executed and missed, file by file."""
    settings = directory / "coverage.ini"
    settings.write_text(SETTINGS.format(data=directory / "data"))
    env = {
        "COVERAGE_PROCESS_START": str(settings),
        "PYTHONPATH": str(directory / "site"),
    }
    started = server("measured.web:app", *flags, cwd=directory, env=env)
    assert started.get("/red").text == str(not flags), "what is not used is imported, or waits"
    assert started.terminate() == 0
    command = [sys.executable, "-m", "coverage"]
    told = [f"--rcfile={settings}"]
    subprocess.run([*command, "combine", *told], check=True, cwd=directory, capture_output=True)
    report = directory / "report.json"
    subprocess.run([*command, "json", *told, "-o", report], check=True, cwd=directory, capture_output=True)
    fields = ("executed_lines", "missing_lines", "executed_branches", "missing_branches")
    files = json.loads(report.read_text())["files"]
    return {name: [said[field] for field in fields] for name, said in files.items()}


def test_the_same_lines_count_as_executed(server: Start, tmp_path: Path) -> None:
    for name, text in {
        "measured/web.py": MODULE,
        "measured/part.py": PART,
        "measured/__init__.py": "",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    plain = measured(server, tmp_path)
    lazy = measured(server, tmp_path, "--lazy-imports", "measured,colorsys,wave,fractions,statistics,email")
    web = plain["measured/web.py"]
    assert web[0] and web[1], "something was executed, and something was not"
    assert lazy == plain
