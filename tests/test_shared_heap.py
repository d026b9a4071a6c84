"""Workers that are forked from a template of several applications write to little of what they share with it."""

import contextlib
import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from harness import REPOSITORY, processes
from harness.journal import until
from harness.machine import Machine
from test_environments import find_python

NAMES = ["alpha", "beta", "gamma"]

QUART = """
import os, sys, quart, json, threading

app = quart.Quart(__name__)

@app.get("/")
async def index():
    return {
        "pid": os.getpid(),
        "forked": "lowmem_serve.rehearsal" in sys.modules,
        "threads": threading.active_count(),
        "counts": [sys.getrefcount(each) for each in (quart.Quart, quart.Quart.asgi_app, json.dumps.__code__)],
        "paths": sum("quart" in path for path in sys.path_importer_cache),
    }
"""

BARE = """
import json, os, sys, textwrap

def facts():
    own = [textwrap.dedent, textwrap.dedent.__code__, textwrap]
    return {"pid": os.getpid(), "forked": "lowmem_serve.rehearsal" in sys.modules,
            "counts": [sys.getrefcount(each) for each in own]}

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(facts()).encode()})
"""


def interpreter(version: str) -> Path:
    return find_python(version) or pytest.skip(f"there is no CPython {version}")


def private(pid: int) -> int:
    """KB that a process has written to, and no other."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("Private_Dirty:")[2].split()[0])


def facts(machine: Machine, name: str) -> dict[str, Any]:
    return json.loads(machine.get(name))


def weight(machine: Machine, name: str) -> int:
    """That of the worker that answers; another one where a template has replaced it meanwhile."""

    def weighed() -> int | None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            return private(facts(machine, name)["pid"])
        return None

    return until(weighed)


def served(
    machine: Machine, serve_all, text: str, more: str = "", beside: str = ""
) -> dict[str, dict[str, Any]]:
    """What each application says once all are forked."""
    tables = [beside]
    for name in NAMES:
        machine.module(name, text)
        tables.append(f"[apps.{name}]\n{machine.table(name, more)}")
    started = serve_all("".join(tables), wait=False)
    for name in NAMES:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    until(lambda: all(facts(machine, name)["forked"] for name in NAMES), 120)
    return {name: facts(machine, name) for name in NAMES}


def test_a_fork_writes_to_a_third_of_what_a_worker_by_itself_has_at_most(serve_all, machine) -> None:
    machine.module("alone", QUART)
    table = machine.table("alone", 'share = "off"')
    forked = served(machine, serve_all, QUART, beside=f"[apps.alone]\n{table}")
    assert all(fact["threads"] == 1 for fact in forked.values())
    alone = facts(machine, "alone")
    assert not alone["forked"]
    for name in [*NAMES, "alone"]:
        machine.get(name)
    weights = [weight(machine, name) for name in NAMES]
    assert max(weights) < weight(machine, "alone") / 3


def test_applications_that_name_their_modules_alike_are_forked_whatever_leads_to_them(
    serve_all, machine
) -> None:
    places = {"alpha": "apps/../alpha", "beta": "current", "gamma": "gamma"}
    (machine.directory / "current").symlink_to("beta")
    for name, place in places.items():
        (machine.directory / name).mkdir()
        (machine.directory / name / "main.py").write_text(f"NAME = {name!r}\n{BARE}")
        (machine.directory / "apps" / f"{name}.toml").write_text(
            f'app = "main:app"\ndirectory = "{machine.directory}/{place}"\nbind = ["unix:{machine.socket(name)}"]\n'
        )
    started = serve_all('include = ["apps/*.toml"]', wait=False)
    for name in NAMES:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    until(lambda: all(facts(machine, name)["forked"] for name in NAMES), 60)
    assert "Not forked" not in started.output


NEEDS = "import os\nos.environ['KIT']\n"
NEEDY = """
import os
os.environ["KIT"]
import kit.first, kit.second, kit.third, json, sys

def facts():
    names = list(sys.modules)
    own = names.index("lowmem_serve.rehearsal") if "lowmem_serve.rehearsal" in names else 0
    return {"forked": own > 0, "shared": [name for name in names[:own] if name.startswith("kit")]}

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(facts()).encode()})
"""


def test_modules_that_need_what_an_application_does_first_keep_no_others_from_being_shared(
    serve_all, machine
) -> None:
    """As Django's models need the settings."""
    kit = machine.directory / "common" / "site-packages" / "kit"
    kit.mkdir(parents=True)
    for name, text in {"__init__": "", "first": NEEDS, "second": "", "third": NEEDS}.items():
        (kit / f"{name}.py").write_text(text)
    tables = []
    own = 'env = { KIT = "there" }'
    for name in NAMES:
        machine.module(name, NEEDY)
        tables.append(f"[apps.{name}]\n{machine.table(name, own)}")
    started = serve_all("".join(tables), wait=False, env={"PYTHONPATH": str(kit.parent)})
    for name in NAMES:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    until(lambda: all(facts(machine, name)["forked"] for name in NAMES), 120)
    assert all(facts(machine, name)["shared"] == ["kit", "kit.second"] for name in NAMES)
    assert re.search(r"is made without kit\.first and 1 more: KeyError", started.output)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_what_a_template_has_imported_is_counted_as_this_python_can(serve_all, machine, version: str) -> None:
    forked = served(machine, serve_all, BARE, f'python = "{interpreter(version)}"')
    has_immortal_objects = version != "3.11"
    for fact in forked.values():
        assert all((count >= 2**31) == has_immortal_objects for count in fact["counts"]), fact


def test_a_worker_ends_as_one_that_was_not_forked(serve_all, machine) -> None:
    ends = 'import atexit\natexit.register(lambda: print(f"{NAME} has ended", flush=True))\n'
    tables = []
    for name in NAMES:
        machine.module(name, ends + BARE)
        tables.append(f'[apps.{name}]\n{machine.table(name)}python = "{interpreter("3.12")}"\n')
    started = serve_all("".join(tables), wait=False)
    for name in NAMES:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    until(lambda: all(facts(machine, name)["forked"] for name in NAMES), 120)
    assert started.terminate() == 0
    for name in NAMES:
        started.stdout.wait_for_line(f"{name} has ended")


REHEARSE = """
import os, sys, threading, time
sys.path.insert(0, {tree!r})
from lowmem_serve import rehearsal

def raises(): raise ValueError("no such framework")
def hangs(): time.sleep(100)
def starts_a_thread(): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
def opens_a_socket():
    import socket
    globals()["kept"] = socket.socket()
def crashes(): os.abort()
done = []
def serves(): done.append(1)

rehearsal.SECONDS = {seconds}
rehearsal.MAKERS = {{"sys": serves, "os": {maker}}}
rehearsal.rehearse()
print(len(done), threading.active_count())
"""


@pytest.mark.parametrize(
    "maker", ["raises", "hangs", "starts_a_thread", "opens_a_socket", "crashes", "serves"]
)
def test_a_rehearsal_that_goes_wrong_is_left_out(maker: str) -> None:
    # What is not waited for in vain has time enough on a busy machine.
    seconds = 0.5 if maker == "hangs" else 30
    code = REHEARSE.format(tree=str(REPOSITORY / "python"), maker=maker, seconds=seconds)
    began = time.monotonic()
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert finished.stdout.split() == (["2", "1"] if maker == "serves" else ["0", "1"]), finished.stderr
    assert finished.stderr == ""
    assert time.monotonic() - began < 20


FRAMEWORKS = {
    "quart": "import quart",
    "starlette": "import starlette.applications, starlette.routing, starlette.responses",
    "fastapi": "import fastapi",
    "flask": "import flask",
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_framework_is_rehearsed_and_leaves_nothing_open(framework: str) -> None:
    pytest.importorskip(framework)
    code = textwrap.dedent(f"""
        import logging, os, sys
        sys.path.insert(0, {str(REPOSITORY / "python")!r})
        {FRAMEWORKS[framework]}
        from lowmem_serve import rehearsal
        before = set(os.listdir("/proc/self/fd"))
        makers = [make for name, make in rehearsal.MAKERS.items() if name in sys.modules]
        assert makers and rehearsal._tried(makers)
        rehearsal.rehearse()
        assert set(os.listdir("/proc/self/fd")) <= before
        assert len(os.listdir("/proc/self/task")) == 1
        assert not [name for name in logging.root.manager.loggerDict if "rehearsal" in name]
    """)
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_ksm_says_when_the_kernel_merges_nothing_and_else_allows_it(server, tmp_path) -> None:
    (tmp_path / "bare.py").write_text(BARE)
    run = Path("/sys/kernel/mm/ksm/run")
    started = server("bare:app", "--ksm", cwd=tmp_path)
    if not run.exists() or run.read_text().strip() != "1":
        started.stderr.wait_for_line(r"--ksm merges no pages: ")
    pid = json.loads(started.get("/").text)["pid"]
    state = Path(f"/proc/{pid}/ksm_stat")
    if not state.exists() or "ksm_merge_any" not in state.read_text():
        pytest.skip("this kernel does not show what is merged")
    assert "ksm_merge_any: yes" in state.read_text()
    (worker,) = processes.children(started.pid)
    assert worker == pid != os.getpid()
