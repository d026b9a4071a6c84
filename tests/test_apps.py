"""Several applications in one settings file: which are served, what stays apart, what ends alone."""

import contextlib
import json
import os
import pwd
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import REPOSITORY, Server, processes, run
from harness.journal import until
from harness.machine import HELLO, Machine, python_for
from harness.ports import free_port

NAMES = ["alpha", "beta", "gamma", "delta"]


@contextlib.contextmanager
def load(machine: Machine, *names: str) -> Iterator[list[str]]:
    """Requests to these applications one after the other; what was not answered with 200."""
    failed: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            for name in names:
                try:
                    answer = machine.get(name)
                except OSError as error:
                    answer = repr(error)
                if not answer.startswith(f"{name} "):
                    failed.append(answer)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield failed
    finally:
        over.set()
        asking.join()


def test_each_application_has_its_place_its_directory_its_environment_and_its_lines(
    serve_all, machine
) -> None:
    (machine.directory / "two").mkdir()
    (machine.directory / "two" / "two.env").write_text("MODE=from-a-file\n")
    machine.file.write_text("")
    machine.module("one")
    machine.module("two")
    one = machine.table("one", 'env = { MODE = "inline" }')
    two = machine.table("two", 'env-file = "two.env"')
    tables = f"[apps.one]\n{one}[apps.two]\n{two}"
    started = serve_all(tables, wait=False)
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60)
    started.stderr.wait_for_line(r"\[two\] Application startup complete", 60)
    assert machine.get("one").startswith(f"one inline {machine.directory / 'one'} ")
    assert machine.get("two").startswith(f"two from-a-file {machine.directory / 'two'} ")
    started.stdout.wait_for_line(r'INFO: +\[two\] .*"GET / HTTP/1.1" 200')
    assert started.terminate() == 0


def test_every_mistake_is_told_with_its_file_and_line(machine) -> None:
    machine.module("one")
    machine.file.write_text(
        "log-level = 'loud'\n[apps.one]\napp = 'one_app:app'\nprot = 1\n[apps.'no name']\nbind = []\n"
    )
    finished = run("--config", str(machine.file), cwd=machine.directory)
    assert finished.returncode == 2
    for line in (
        "fleet.toml:1: log-level",
        "fleet.toml:4: there is no setting prot",
        'fleet.toml:5: "no name"',
    ):
        assert line in finished.stderr, finished.stderr
    table = machine.table("one", "user = 'nobody-of-that-name'\nttl = '1h'\nloop = 'none:'")
    machine.file.write_text(f"[apps.one]\n{table}\n[apps.two]\ndirectory = 'nowhere'\n")
    finished = run("--config", str(machine.file), cwd=machine.directory)
    assert finished.returncode == 2
    for part in (
        "[apps.one] --loop",
        "[apps.two] directory",
        "[apps.two] app is missing",
        "[apps.two] bind is missing",
    ):
        assert part in finished.stderr, finished.stderr
    finished = run("--config", str(machine.file), "--port", "1", cwd=machine.directory)
    assert finished.returncode == 2 and "--port is about one application" in finished.stderr


def test_the_operator_socket_is_the_whole_servers(machine) -> None:
    machine.module("one")
    table = machine.table("one", "operator-socket = 'off'")
    machine.file.write_text(f"[apps.one]\n{table}\n")
    finished = run("--config", str(machine.file), cwd=machine.directory)
    assert finished.returncode == 2
    assert "fleet.toml:5: operator-socket is the whole server's" in finished.stderr


def test_settings_of_a_cache_before_the_tables_hold_for_every_application(serve_all, machine) -> None:
    text = """import os
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    found = sorted(name for name, value in os.environ.items() if "pages" in value and "268435456" in value)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{NAME} {found}".encode()})
"""
    machine.module("one", text)
    started = serve_all(f"[cache.pages]\nsize = '256M'\n[apps.one]\n{machine.table('one')}", wait=False)
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60)
    assert "LOWMEM" in machine.get("one")


def test_two_applications_do_not_have_the_same_place(machine) -> None:
    machine.module("one")
    table = machine.table("one")
    machine.file.write_text(f"[apps.one]\n{table}[apps.other]\n{table}")
    finished = run("--config", str(machine.file), cwd=machine.directory)
    assert finished.returncode == 2 and "is a place of one already" in finished.stderr


def test_one_that_cannot_start_answers_503_and_the_other_is_served(serve_all, machine) -> None:
    machine.module("bad", "raise RuntimeError('no')\n")
    table = machine.table("bad")
    started = serve_all(f"[apps.bad]\n{table}", "good")
    started.stderr.wait_for_line(r"\[bad\] It is stopped and answers 503; trying again in 10 s", 60)
    assert machine.get("bad").startswith("503 ")
    assert machine.get("good").startswith("good ")
    # Every ten seconds it is tried again.
    until(lambda: machine.states() == {"bad": "failed", "good": "serving"})
    machine.module("bad")
    assert "starting bad" in machine.ctl("start", "bad")
    until(lambda: machine.get("bad").startswith("bad "))
    assert started.terminate() == 0


def test_one_whose_start_hangs_does_not_keep_others_from_being_served(serve_all, machine) -> None:
    machine.module("stuck", "import time\ntime.sleep(1000)\n")
    table = machine.table("stuck", "timeout-worker-startup = 2")
    started = serve_all(f"[apps.stuck]\n{table}", "good")
    started.stderr.wait_for_line(r"\[stuck\] It is stopped and answers 503", 60)
    assert machine.get("stuck").startswith("503 ")
    assert machine.get("good").startswith("good ")


def test_a_worker_that_dies_is_replaced_unnoticed_by_other_applications(serve_all, machine) -> None:
    # Without a template of both, for which their first workers would be replaced.
    serve_all("", "one", "two", more='share = "off"')
    pid = int(machine.get("one").split()[-1])
    with load(machine, "two") as failed:
        os.kill(pid, signal.SIGKILL)
        until(lambda: machine.get("one").split()[-1] != str(pid))
    assert failed == []


def test_an_application_is_stopped_started_and_reloaded_by_name(serve_all, machine) -> None:
    serve_all("", "one", "two")
    with load(machine, "two") as failed:
        assert "stopping one" in machine.ctl("stop", "one")
        until(lambda: machine.states()["one"] == "stopped")
        assert machine.get("one").startswith("503 ")
        assert "start it" in machine.ctl("reload", "one")
        assert "starting one" in machine.ctl("start", "one")
        until(lambda: machine.get("one").startswith("one "))
        before = machine.get("one")
        assert "reloading one" in machine.ctl("reload", "one")
        until(lambda: machine.get("one") != before)
        assert "there is no application three, but one, two" in machine.ctl("stop", "three")
    assert failed == []
    # Between two workers, as when it is replaced for the template that both share, it has no weight.
    until(lambda: re.search(r"^one +serving +[\d.]+ MB", machine.ctl(), re.MULTILINE))


def turns(pid: int) -> int:
    """How often a process has been woken up."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[2])


def test_a_supervisor_whose_applications_have_nothing_to_do_sleeps(serve_all, machine) -> None:
    """Serving, failed, stopped and asleep ones: none of them keeps its loop turning."""
    machine.module("bad", "raise RuntimeError('no')\n")
    machine.module("again")
    rest = f"[apps.bad]\n{machine.table('bad')}[apps.again]\n{machine.table('again', 'reload = true')}"
    started = serve_all(rest, *NAMES)
    started.stderr.wait_for_line(r"\[bad\] It is stopped and answers 503", 60)
    assert "stopping alpha" in machine.ctl("stop", "alpha")
    # It cannot while its worker is replaced by a fork.
    until(lambda: "sleeps" in machine.ctl("sleep", "beta"))
    assert "stopping again" in machine.ctl("stop", "again")
    until(lambda: machine.states()["alpha"] == "stopped" and machine.states()["again"] == "stopped")
    until(lambda: machine.states()["beta"] == "asleep")
    machine.module("again")
    # What is left of starts, their deadlines and the changed file settles within some turns.
    for _ in range(60):
        before = turns(started.pid)
        time.sleep(1)
        if turns(started.pid) - before < 10:
            break
    else:
        pytest.fail(f"{turns(started.pid) - before} turns a second")
    assert machine.get("beta").startswith("beta ")


def test_an_application_that_is_not_used_sleeps_and_the_next_request_wakes_it(serve_all, machine) -> None:
    started = serve_all("sleep-after = '1s'", *NAMES[:3])
    for name in NAMES[:3]:
        started.stderr.wait_for_line(rf"\[{name}\] Asleep ", 60)
    until(lambda: set(machine.states().values()) == {"asleep"})
    assert machine.get("beta").startswith("beta ")
    assert machine.states()["alpha"] == "asleep"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_workers_are_those_of_their_user(server) -> None:
    """With its groups and home, whether started or forked; a user that there is not keeps only its own away."""
    nobody, python = pwd.getpwnam("nobody"), python_for("nobody")
    text = """import os
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    own = [os.getuid(), os.getgid(), os.getgroups(), os.environ.get("USER"), os.environ.get("HOME")]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{own}".encode()})
"""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        machine = Machine(Path(directory))
        for name in (*NAMES, "root"):
            machine.module(name, text)

        def own(name: str, user: str) -> str:
            return machine.table(name, f'user = "{user}"\npython = "{python}"')

        tables = [f"[apps.{name}]\n{own(name, 'nobody')}" for name in NAMES]
        tables.append(f"[apps.root]\n{machine.table('root')}")
        tables.append(f"[apps.none]\n{own('root', 'no-such-user')}".replace("root.sock", "none.sock"))
        machine.file.write_text("".join(tables))
        env = {"RUNTIME_DIRECTORY": directory}
        started = server(
            "--config", str(machine.file), cwd=machine.directory, places=False, env=env, wait=False
        )
        for name in (*NAMES, "root"):
            started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
        started.stderr.wait_for_line(r"\[none\] It cannot be started: there is no user no-such-user", 60)
        groups = os.getgrouplist("nobody", nobody.pw_gid)
        told = str([nobody.pw_uid, nobody.pw_gid, groups, "nobody", nobody.pw_dir])
        assert {machine.get(name) for name in NAMES} == {told}
        assert machine.get("root").startswith("[0, 0, ")
        assert started.terminate() == 0


def test_included_files_are_followed_while_others_are_served(serve_all, machine) -> None:
    machine.include("one")
    machine.module("one")
    started = serve_all('include = ["apps/*.toml"]', "main")
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60)
    with load(machine, "main") as failed:
        machine.module("two")
        machine.include("two")
        started.stderr.wait_for_line(r"\[two\] Application startup complete", 60)
        assert machine.get("two").startswith("two ")

        with load(machine, "two") as own:
            machine.include("two", 'env = { MODE = "changed" }')
            until(lambda: "changed" in machine.get("two"))
        assert own == []

        machine.include("two", "prot = 1")
        started.stderr.wait_for_line(r"apps/two\.toml:\d+: there is no setting prot; did you mean port", 60)
        assert "changed" in machine.get("two")

        (machine.directory / "apps" / "two.toml").unlink()
        started.stderr.wait_for_line(r"\[two\] Stopped\.", 60)
        until(lambda: "two" not in machine.states())
        assert not os.path.exists(machine.socket("two"))
    assert failed == []
    assert machine.get("one").startswith("one ")
    assert started.terminate() == 0


SLOW_IMPORTS = """
import decimal, fractions, csv, statistics
import os, sys

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    import json
    body = json.dumps({
        "secret": os.environ.get("SECRET"),
        "secrets": [name for name in os.environ if name.startswith("SECRET_OF")],
        "at_start": open("/proc/self/environ").read().count("SECRET"),
        "argv": sys.argv,
        "path": sys.path[0],
        "cwd": os.getcwd(),
        "pid": os.getpid(),
    }).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


def shared(machine: Machine) -> str:
    tables = []
    for name in NAMES:
        machine.module(name, SLOW_IMPORTS)
        env = f'env = {{ SECRET = "secret-of-{name}-XQ", SECRET_OF_{name.upper()} = "1" }}'
        tables.append(f"[apps.{name}]\n{machine.table(name, env)}")
    return "".join(tables)


def facts(machine: Machine, name: str) -> dict[str, Any]:
    return json.loads(machine.get(name))


def is_forked(pid: int) -> bool:
    """Whether a worker began as something else: what it was started with has nothing of its own."""
    try:
        return b"SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        # It has been replaced.
        return False


def template_beside(started: Server, workers: set[int]) -> int:
    """The one child that is no worker of these, once those that they have replaced are gone."""

    def others() -> list[int]:
        found = processes.children(started.pid)
        return [pid for pid in found if pid not in workers] if workers <= set(found) else []

    until(lambda: len(others()) == 1)
    return others()[0]


def test_applications_are_forked_from_a_template_that_has_nothing_of_theirs(serve_all, machine) -> None:
    started = serve_all(shared(machine), wait=False)
    for name in NAMES:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    until(lambda: all(is_forked(facts(machine, name)["pid"]) for name in NAMES))
    own = {name: facts(machine, name) for name in NAMES}
    for name, fact in own.items():
        assert fact["secret"] == f"secret-of-{name}-XQ"
        assert fact["secrets"] == [f"SECRET_OF_{name.upper()}"]
        assert fact["at_start"] == 0
        assert fact["path"] == fact["cwd"] == str(machine.directory / name)
    for name, fact in own.items():
        others = [secret.encode() for other in NAMES if other != name for secret in [f"secret-of-{other}-XQ"]]
        assert not any(secret in memory(fact["pid"]) for secret in others)
    template = template_beside(started, {fact["pid"] for fact in own.values()})
    assert b"secret-of-" not in memory(template)
    assert started.terminate() == 0


def memory(pid: int) -> bytes:
    """Everything that a process has written."""
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, flags, *_ = line.split()
            if not flags.startswith("rw") or "[vvar]" in line:
                continue
            first, last = (int(end, 16) for end in span.split("-"))
            with contextlib.suppress(OSError, ValueError):
                mem.seek(first)
                parts.append(mem.read(last - first))
    return b"".join(parts)


def test_a_template_that_is_killed_costs_nothing(serve_all, machine) -> None:
    started = serve_all(shared(machine), wait=False)
    for name in NAMES:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    until(lambda: all(is_forked(facts(machine, name)["pid"]) for name in NAMES))
    workers = {facts(machine, name)["pid"] for name in NAMES}
    os.kill(template_beside(started, workers), signal.SIGKILL)
    assert {facts(machine, name)["pid"] for name in NAMES} == workers
    os.kill(facts(machine, "alpha")["pid"], signal.SIGKILL)
    until(lambda: facts(machine, "alpha")["pid"] not in workers)


def test_a_module_that_starts_a_thread_is_kept_out_of_the_template_and_named(serve_all, machine) -> None:
    packages = machine.directory / "common" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "wheel_with_thread.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    )
    tables = []
    for name in NAMES[:3]:
        machine.module(name, f"import wheel_with_thread\n{SLOW_IMPORTS}")
        tables.append(f"[apps.{name}]\n{machine.table(name)}")
    started = serve_all("".join(tables), wait=False, env={"PYTHONPATH": str(packages)})
    started.stderr.wait_for_line(r"template .* without wheel_with_thread: it starts a thread", 60)
    for name in NAMES[:3]:
        assert facts(machine, name)["pid"]


def test_a_socket_that_an_application_shares_with_none_is_refused_only_where_it_is_taken(
    serve_all, machine
) -> None:
    machine.module("late")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        own = (
            f'[apps.late]\napp = "late_app:app"\ndirectory = "{machine.directory / "late"}"\nport = {port}\n'
        )
        started = serve_all(own, "good")
        started.stderr.wait_for_line(r"\[late\] It cannot be started: .*address already in use", 40)
        assert machine.get("good").startswith("good ")


LATE = """
import importlib, json, os, sys

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    had = sum(name.startswith("late_part") for name in sys.modules)
    if scope["path"] == "/late":
        for number in range(20):
            importlib.import_module(f"late_part{number}")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"had": had, "pid": os.getpid()}).encode()})
"""


def test_what_two_applications_import_late_is_in_the_next_template(serve_all, machine) -> None:
    packages = machine.directory / "common" / "site-packages"
    packages.mkdir(parents=True)
    for number in range(20):
        (packages / f"late_part{number}.py").write_text("")
    names = NAMES[:3]
    for name in names:
        machine.module(name, LATE)
    tables = "".join(f"[apps.{name}]\n{machine.table(name)}" for name in names)
    started = serve_all(tables, wait=False, env={"PYTHONPATH": str(packages)})
    for name in names:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    for name in names[:2]:
        # The template of what the first two have told is there.
        started.stderr.wait_for_line(rf"\[{name}\] Recycled worker .*: template; ", 60)
    for name in names[:2]:
        assert json.loads(machine.get(name, path="/late"))["had"] == 0
        until(lambda name=name: "sleeps" in machine.ctl("sleep", name))
        started.stderr.wait_for_line(rf"\[{name}\] Asleep", 60)
    # One that never imported them is a fork of the new template, too.
    until(lambda: facts(machine, "gamma")["had"] == 20)
    until(lambda: facts(machine, "alpha")["had"] == 20)


def examples(file: str) -> list[str]:
    """The settings files that a page shows."""
    return re.findall(
        r"^```toml\n(.*?)^```", (REPOSITORY / "docs" / file).read_text(), re.DOTALL | re.MULTILINE
    )


def place_example(machine: Machine, text: str) -> str:
    """A settings file of the documentation, but for its directories, ports, user and Python."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    ports = [str(free_port())]
    while (other := str(free_port())) in ports:
        pass
    ports.append(other)
    for before, after in (
        ("/srv/", f"{machine.directory}/srv/"),
        ("/run/", f"{machine.directory}/"),
        ('user = "training"', f'user = "{user}"' if user == "root" else "#"),
        ("127.0.0.1:8002", f"127.0.0.1:{ports[0]}"),
        ("127.0.0.1:8003", f"127.0.0.1:{ports[1]}"),
        ('bind = ["0.0.0.0:80", "[::]:80"]', f'bind = ["127.0.0.1:{ports[0]}"]'),
    ):
        text = text.replace(before, after)
    return text


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_examples_of_the_documentation_serve(server, machine, number) -> None:
    # What stands before the tables of one page may do so in each of its files.
    shown = examples("apps.md")
    before = "".join(text for text in shown if "[apps." not in text)
    text = place_example(machine, before + [text for text in shown if "[apps." in text][number])
    modules = dict(re.findall(r'^\[apps\.(\w+)\]\napp = "([\w.]+):app"', text, re.MULTILINE))
    for name, module in modules.items():
        # Without a directory of its own, an application's is that of the file.
        home = machine.directory / "srv" / name if f"/srv/{name}" in text else machine.directory
        file = (home / module.replace(".", "/")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"NAME = {name!r}\n{HELLO}")
        if home != machine.directory:
            (home / "training.env").write_text("FROM_FILE=1\n")
            (home / ".venv").symlink_to(sys.prefix)
    machine.file.write_text(text)
    started = server("--config", str(machine.file), cwd=machine.directory, places=False, wait=False)
    for name in modules:
        started.stderr.wait_for_line(rf"\[{name}\] (Application startup complete|Asleep, until)", 60)
    assert started.terminate() == 0


def test_applications_that_begin_asleep_wait_neither_for_a_template_nor_for_each_other(
    serve_all, machine
) -> None:
    names = [f"app{number}" for number in range(8)]
    began = time.monotonic()
    started = serve_all("start-asleep = true", *names, wait=False)
    for name in names:
        started.stderr.wait_for_line(rf"\[{name}\] Asleep, until the first request", 25)
    # The patience with a template that has not begun to be made is 30 s.
    assert time.monotonic() - began < 25
    until(lambda: processes.children(started.pid) == [])
    assert all(machine.get(name).startswith(name) for name in names)


def written(pid: int) -> int:
    """KB of a process that are no file's, once that does not change any more."""
    found: list[int] = []
    for _ in range(40):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found.append(int(rollup.partition("Anonymous:")[2].split()[0]))
        if len(found) >= 3 and len(set(found[-3:])) == 1:
            break
        time.sleep(0.5)
    return found[-1]


def test_a_supervisor_gives_back_what_its_start_took_though_no_worker_has_been_started(
    serve_all, machine
) -> None:
    names = [f"app{number}" for number in range(8)]
    started = serve_all("start-asleep = true", *names, wait=False)
    for name in names:
        started.stderr.wait_for_line(rf"\[{name}\] Asleep, until the first request", 40)
    asleep = written(started.pid)
    assert machine.get(names[0]).startswith(names[0])
    started.stderr.wait_for_line(rf"\[{names[0]}\] Application startup complete", 40)
    # It always did after the first start of a worker.
    assert asleep < 1.4 * written(started.pid)
