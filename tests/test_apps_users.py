"""Applications of several users, each with a virtual environment of its own that no other user may enter."""

import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import processes
from harness.journal import until
from harness.machine import Machine, python_for
from harness.server import Server
from test_apps import memory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

USERS = {"alpha": "nobody", "beta": "nobody", "gamma": "daemon", "delta": "daemon"}

TEXT = """import asyncio, csv, decimal, fractions, json, logging, os, statistics, sys, typing

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    import venv_module
    body = json.dumps({
        "pid": os.getpid(),
        "ids": [os.getuid(), os.getgid(), *os.getgroups()],
        "prefix": sys.prefix,
        "module": venv_module.__file__,
        "secrets": [value for name, value in os.environ.items() if name.startswith("SECRET")],
        "home": os.environ["HOME"],
        "forked": "lowmem_serve.rehearsal" in sys.modules,
    }).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


def facts(machine: Machine, name: str) -> dict[str, Any]:
    return json.loads(machine.get(name))


def until_forked(machine: Machine, *names: str) -> dict[str, dict[str, Any]]:
    def ask() -> dict[str, dict[str, Any]] | None:
        found = {name: facts(machine, name) for name in names}
        return found if all(each["forked"] for each in found.values()) else None

    return until(ask, 90)


@pytest.fixture
def guarded() -> Iterator[Machine]:
    """A machine whose applications and environments are for their users' eyes only."""
    python = {python_for(user) for user in set(USERS.values())}
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        machine = Machine(Path(directory))
        for name, user in USERS.items():
            own = machine.module(name, TEXT)
            subprocess.run([min(python), "-m", "venv", "--without-pip", own / ".venv"], check=True)
            (packages,) = (own / ".venv" / "lib").glob("python*/site-packages")
            (packages / "venv_module.py").write_text("")
            subprocess.run(["chown", "-R", user, own], check=True)
            for each in (own, own / ".venv"):
                each.chmod(0o700)
        yield machine


def table(machine: Machine, name: str, more: str = "") -> str:
    settings = (
        f'python = ".venv"\nuser = "{USERS[name]}"\nenv = {{ SECRET_{name} = "secret-of-{name}-ZU" }}\n'
    )
    return f"[apps.{name}]\n{machine.table(name, settings + more)}"


def serve(server: Any, machine: Machine, text: str = "", **more: str) -> Server:
    tables = "".join(table(machine, name, more.get(name, "")) for name in USERS)
    started = machine.serve(server, text + tables, wait=False)
    for name in USERS:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    return started


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_each_user_has_a_template_of_its_own_that_enters_what_only_the_user_may(server, guarded) -> None:
    started = serve(server, guarded)
    found = until_forked(guarded, *USERS)
    for name, told in found.items():
        user = pwd.getpwnam(USERS[name])
        assert told["ids"] == [user.pw_uid, user.pw_gid, *os.getgrouplist(user.pw_name, user.pw_gid)]
        assert told["prefix"] == str(guarded.directory / name / ".venv")
        assert told["module"].startswith(told["prefix"])
        assert told["home"] == user.pw_dir
        assert told["secrets"] == [f"secret-of-{name}-ZU"]
    workers = {told["pid"] for told in found.values()}

    def templates() -> list[int] | None:
        others = [pid for pid in processes.children(started.pid) if pid not in workers]
        return others if len(others) == 2 else None

    others = until(templates)
    assert sorted(owner(pid) for pid in others) == sorted(
        pwd.getpwnam(user).pw_uid for user in set(USERS.values())
    )
    for pid in others:
        assert b"secret-of-" not in memory(pid)
    for name, told in found.items():
        known = memory(told["pid"])
        assert not any(f"secret-of-{other}-ZU".encode() in known for other in USERS if other != name)
    assert started.terminate() == 0


def test_they_sleep_wake_and_are_replaced_as_their_users(server, guarded) -> None:
    started = serve(server, guarded, 'memory-budget = "1G"\nkeep-template = "1h"\n')
    before = until_forked(guarded, *USERS)
    guarded.ctl("sleep", "alpha")
    guarded.ctl("sleep", "gamma")
    until(lambda: [guarded.states()[name] for name in ("alpha", "gamma")] == ["asleep", "asleep"])
    guarded.ctl("reload", "beta")
    until(lambda: facts(guarded, "beta")["pid"] != before["beta"]["pid"])
    after = {name: facts(guarded, name) for name in USERS}
    for name in ("alpha", "beta", "gamma"):
        assert after[name]["pid"] != before[name]["pid"]
        assert after[name]["forked"]
    for name, told in after.items():
        assert {**told, "pid": 0} == {**before[name], "pid": 0}
    assert started.terminate() == 0


def test_an_environment_that_the_user_may_not_enter_is_told_and_keeps_no_other_away(server, guarded) -> None:
    (guarded.directory / "gamma" / ".venv").chmod(0)
    tables = "".join(table(guarded, name) for name in USERS)
    started = guarded.serve(server, tables, wait=False)
    place = guarded.directory / "gamma" / ".venv"
    started.stderr.wait_for_line(rf"\[gamma\] Cannot start a worker: user daemon may not enter {place}; ", 60)
    for name in ("alpha", "beta", "delta"):
        assert facts(guarded, name)["ids"][0] == pwd.getpwnam(USERS[name]).pw_uid
    place.chmod(0o700)
    assert started.terminate() == 0
