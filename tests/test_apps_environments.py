"""Applications with virtual environments of their own: forked from a template that has the standard library alone."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import REPOSITORY, processes, run
from harness.journal import until
from harness.machine import Machine
from harness.server import Server
from test_shared_heap import interpreter

STATE = Path(__file__).parent / "apps" / "start_state.py"
NAMES = ("alpha", "beta", "gamma")
PYTHONS = ("3.11", "3.12", "3.13", "/usr/bin/python3")
IMPORTS = "import asyncio, csv, decimal, fractions, logging, statistics, typing\n"

Environment = Callable[..., Path]


def python(version: str) -> str:
    if not version.startswith("/"):
        return interpreter(version)
    if not Path(version).exists():
        pytest.skip(f"there is no {version}")
    return version


def packages(machine: Machine, name: str) -> Path:
    (found,) = (machine.directory / name / ".venv" / "lib").glob("python*/site-packages")
    return found


def environment(machine: Machine, name: str, base: str, *options: str) -> None:
    """An application that tells its state, with a virtual environment of its own."""
    own = machine.module(name, IMPORTS + STATE.read_text())
    subprocess.run([base, "-m", "venv", "--without-pip", *options, own / ".venv"], check=True)
    (packages(machine, name) / "venv_module.py").write_text(f"NAME = {name!r}\n")
    metadata = packages(machine, name) / f"of_{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: of-{name}\nVersion: 1.0\n")


def table(machine: Machine, name: str, more: str = "") -> str:
    own = machine.directory / name
    settings = f'python = "{own}/.venv/bin/python"\nenv = {{ MARK = "MARK-{name}" }}\n{more}'
    return f"[apps.{name}]\n{machine.table(name, settings)}"


def told(machine: Machine, name: str) -> dict[str, Any]:
    return json.loads(machine.get(name))


def is_forked(pid: int) -> bool:
    """Whether a worker was forked from a template: that was started with nothing of an application."""
    return b"MARK=" not in Path(f"/proc/{pid}/environ").read_bytes()


def until_forked(machine: Machine, *names: str) -> dict[str, dict[str, Any]]:
    """What they tell once they are forked; a worker that was asked may be replaced in this moment."""

    def ask() -> dict[str, dict[str, Any]] | None:
        found = {name: told(machine, name) for name in names}
        try:
            return found if all(is_forked(each["pid"]) for each in found.values()) else None
        except (FileNotFoundError, ProcessLookupError):
            return None

    return until(ask, 90)


def serve(start: Callable[..., Server], machine: Machine, text: str, *names: str) -> Server:
    started = machine.serve(start, text, wait=False)
    for name in names:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    return started


@pytest.mark.parametrize("version", PYTHONS)
def test_a_fork_that_enters_its_environment_is_as_a_start_in_it(server, machine, version) -> None:
    base = python(version)
    for name in NAMES:
        environment(machine, name, base)
    (packages(machine, "alpha") / "_virtualenv.pth").write_text("import _virtualenv")
    (packages(machine, "alpha") / "_virtualenv.py").write_text(
        "import sys\nclass _Finder:\n    find_spec = classmethod(lambda *_: None)\nsys.meta_path.insert(0, _Finder)\n"
    )
    source = machine.directory / "source"
    source.mkdir()
    (source / "editable_module.py").write_text("")
    (packages(machine, "beta") / "__editable__.of_beta.pth").write_text(f"{source}\n")
    alone = serve(server, machine, "".join(table(machine, name, 'share = "off"') for name in NAMES), *NAMES)
    fresh = {name: told(machine, name) for name in NAMES}
    assert not any(is_forked(each["pid"]) for each in fresh.values())
    assert alone.terminate() == 0

    together = serve(server, machine, "".join(table(machine, name) for name in NAMES), *NAMES)
    forked = until_forked(machine, *NAMES)
    for name in NAMES:
        before, after = ordered(fresh[name]["state"]), ordered(forked[name]["state"])
        others = {what for what in before.keys() | after.keys() if before.get(what) != after.get(what)}
        assert {what: (before.get(what), after.get(what)) for what in others} == {}
        assert forked[name]["module"] == str(packages(machine, name) / "venv_module.py")
        assert forked[name]["wrapped"] == fresh[name]["wrapped"]
        assert set(forked[name]["modules"]) >= set(fresh[name]["modules"])
    assert forked["alpha"]["wrapped"] == ["_virtualenv"]
    assert together.terminate() == 0


def ordered(state: dict[str, Any]) -> dict[str, Any]:
    """Its parts, and each variable but the worker's place: one that has replaced another has the next."""
    variables = {f"${name}": value for name, value in state["environment"].items()}
    del variables["$LOWMEM_WORKER_SLOT"]
    return {**state, "environment": None, **variables}


KEEPS = """
import importlib, os, pkgutil, sys
sys.path.insert(0, sys.argv[1])
from lowmem_serve import venv

mark = sys.executable = sys.prefix = sys.exec_prefix = "/a/place/that/is/nowhere"
packages = "asyncio collections concurrent ctypes email encodings html http importlib json logging multiprocessing"
packages += " os sqlite3 unittest urllib wsgiref xml"
names = set(sys.stdlib_module_names) - {"__main__", "antigravity", "idlelib", "lib2to3", "test", "this", "tkinter"}
names -= {"turtle", "turtledemo"}
for package in packages.split():
    directory = os.path.join(sys._stdlib_dir, package)
    names.update(f"{package}.{each.name}" for each in pkgutil.iter_modules([directory]))
for name in sorted(name for name in names if not venv.is_kept_out(name) and not name.endswith(("__main__", ".test"))):
    try:
        importlib.import_module(name)
    except Exception:
        pass  # It is of another system.

def has(value, depth=0):
    if isinstance(value, (str, bytes)):
        return mark in (value if isinstance(value, str) else os.fsdecode(value))
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return depth < 3 and isinstance(value, (list, tuple, set)) and any(has(each, depth + 1) for each in value)

kept = {name for name in list(sys.modules) if venv.is_kept_out(name)}
keeping = {
    (name, what)
    for name, module in list(sys.modules.items())
    # linecache has this text.
    if name not in ("sys", "__main__", "__mp_main__", "site", "linecache")
    for what, value in list(getattr(module, "__dict__", {}).items())
    if has(value)
}
print(len(sys.modules), kept, keeping)
assert len(sys.modules) > 300 and not kept and not keeping
"""


@pytest.mark.parametrize("version", PYTHONS)
def test_no_module_that_a_template_may_have_keeps_the_environment_it_was_imported_in(version) -> None:
    """`site` does, and is what finds out about the environment after the fork."""
    arguments = [python(version), "-I", "-S", "-c", KEEPS, str(REPOSITORY / "python")]
    tried = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_the_template_has_the_standard_library_and_nothing_of_an_environment(server, machine) -> None:
    for name in NAMES:
        environment(machine, name, python("3.11"))
    started = serve(server, machine, "".join(table(machine, name) for name in NAMES), *NAMES)
    workers = {each["pid"] for each in until_forked(machine, *NAMES).values()}

    def template() -> int | None:
        others = set(processes.children(started.pid)) - workers
        return others.pop() if len(others) == 1 else None

    mapped = Path(f"/proc/{until(template)}/maps").read_text()
    assert "_decimal" in mapped
    assert str(machine.directory) not in mapped
    assert started.terminate() == 0


def test_an_application_whose_directory_shadows_the_standard_library_has_its_own_modules(
    server, machine
) -> None:
    for name in NAMES:
        environment(machine, name, python("3.11"))
    shadow = machine.directory / "gamma" / "fractions.py"
    shadow.write_text("class Fraction: pass\n")
    serve(server, machine, "".join(table(machine, name) for name in NAMES), *NAMES)
    until_forked(machine, "alpha", "beta")
    gamma = told(machine, "gamma")
    assert not is_forked(gamma["pid"])
    assert gamma["fractions"] == str(shadow)


def test_an_environment_whose_start_runs_something_is_started_alone(server, machine) -> None:
    for name in NAMES:
        environment(machine, name, python("3.11"))
    (packages(machine, "gamma") / "sitecustomize.py").write_text("import os\nos.environ['CUSTOM'] = '1'\n")
    text = "".join(table(machine, name) for name in NAMES)
    started = machine.serve(server, 'log-level = "debug"\n' + text, wait=False)
    started.stderr.wait_for_line(r"\[gamma\] It shares nothing .*sitecustomize\.py runs at its start", 60)
    until_forked(machine, "alpha", "beta")
    gamma = told(machine, "gamma")
    assert not is_forked(gamma["pid"])
    assert gamma["state"]["environment"]["CUSTOM"] == "1"


def test_those_with_one_environment_have_its_template_and_the_others_that_of_their_python(
    server, machine
) -> None:
    for name in NAMES:
        environment(machine, name, python("3.11"))
    text = "".join(table(machine, name) for name in NAMES)
    # It has alpha's environment: the two have a template that knows it.
    machine.module("delta", IMPORTS + "import venv_module\n" + STATE.read_text())
    own = f'python = "{machine.directory}/alpha/.venv/bin/python"\nenv = {{ MARK = "MARK-delta" }}'
    text += f"[apps.delta]\n{machine.table('delta', own)}"
    (machine.directory / "alpha" / "alpha_app.py").write_text(
        IMPORTS + "import venv_module\n" + STATE.read_text()
    )
    serve(server, machine, text, *NAMES, "delta")
    found = until_forked(machine, *NAMES, "delta")
    assert found["delta"]["module"] == found["alpha"]["module"]
    assert found["beta"]["module"] == str(packages(machine, "beta") / "venv_module.py")


def test_a_run_that_starts_from_the_template_is_in_its_environment(server, machine) -> None:
    for name in NAMES:
        environment(machine, name, python("3.11"))
        (machine.directory / name / "work.py").write_text(
            "import sys, venv_module\n"
            "def do():\n"
            "    start = open('/proc/self/environ').read()\n"
            "    print('ran in', sys.prefix, venv_module.NAME, 'MARK=' in start, flush=True)\n"
        )
    tables = [
        table(machine, name) + f'[apps.{name}.jobs.work]\nrun = "work:do"\nstart = "template"\n'
        for name in NAMES
    ]
    state = f"state-dir = '{machine.directory / 'state'}'\n"
    started = serve(server, machine, state + "".join(tables), *NAMES)
    until_forked(machine, *NAMES)

    def is_run_forked() -> bool:
        assert run("jobs", "run", "beta/work", "--wait", str(started.pid)).returncode == 0
        ran = re.findall(r"ran in (\S+) (\w+) (\w+)", started.output)
        assert {own[:2] for own in ran} <= {(f"{machine.directory}/beta/.venv", "beta")}
        # A template that is slow to answer, on a busy machine, is not waited for.
        return any(own[2] == "False" for own in ran)

    until(is_run_forked)


def test_those_with_lazy_imports_share_the_standard_library_too(server, machine) -> None:
    for name in NAMES:
        environment(machine, name, python("3.11"))
        late = "import wave\ndef use():\n    return wave\n"
        (machine.directory / name / f"{name}_app.py").write_text(late + IMPORTS + STATE.read_text())
    lazy = {name: f'lazy-imports = "auto,{name}_app"' for name in NAMES[:2]}
    serve(server, machine, "".join(table(machine, name, lazy.get(name, "")) for name in NAMES), *NAMES)
    found = until_forked(machine, *NAMES)
    assert ["wave" in found[name]["modules"] for name in NAMES] == [False, False, True]
