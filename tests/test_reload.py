"""--reload: a saved file is served at once, and connected clients lose nothing."""

import os
import threading
import time
from pathlib import Path

import pytest

from harness import Server, processes, run
from harness.journal import until
from harness.reloading import reloads, wait_for_reload, workers

SOON = 40.0
"""Seconds after which a reload is taken to hang; it takes 0.1 s where the machine has nothing else to do."""

APP = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/events":
        gone = asyncio.ensure_future(disconnected(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": b"data: EDITION\\n\\n", "more_body": True})
            await asyncio.wait([gone], timeout=0.05)
    await send({"type": "http.response.body", "body": b"EDITION"})

async def disconnected(receive):
    while (await receive())["type"] != "http.disconnect":
        pass
"""

BROKEN = "def app(:\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "edited.py"
    save(file, "one")
    return file


@pytest.fixture
def watched(server, source: Path):
    """Starts the application with --reload in its directory."""

    def start(*flags: str, **options) -> Server:
        return server("edited:app", "--reload", "--no-access-log", *flags, cwd=source.parent, **options)

    return start


def save(file: Path, edition: str) -> None:
    file.write_text(APP.replace("EDITION", edition))


def save_atomically(file: Path, edition: str) -> None:
    """As editors do: half a file is never seen."""
    new = file.with_name(".edited.py.tmp")
    save(new, edition)
    new.replace(file)


def wait_for(server: Server, edition: str) -> None:
    """Asks until this edition answers. Nothing else than an older one may come."""
    began = time.monotonic()
    while (answer := server.get("/")).text != edition:
        assert answer.status == 200
        assert time.monotonic() - began < SOON, server.output


# --- saving


@pytest.mark.parametrize("way", [save, save_atomically])
def test_what_is_saved_is_served(watched, source: Path, way) -> None:
    started = watched()
    for edition in ("two", "six", "ten"):
        way(source, edition)
        wait_for(started, edition)


def test_a_touched_file_is_a_change(watched, source: Path) -> None:
    started = watched()
    os.utime(source)
    wait_for_reload(started)
    assert reloads(started) == ["'edited.py'"]


def test_packages_of_other_languages_are_not_watched(watched, source: Path) -> None:
    below = source.parent / "front" / "node_modules" / "gyp"
    below.mkdir(parents=True)
    started = watched()
    (below / "gyp.py").write_text("made = 1\n")
    source.write_text(source.read_text() + "\n")
    wait_for_reload(started)
    assert reloads(started) == ["'edited.py'"]


@pytest.mark.parametrize("way", ["flag", "variable of watchfiles"])
def test_polled_directories_are_followed(watched, source: Path, way: str) -> None:
    if way == "flag":
        started = watched("--reload-polling", "on")
    else:
        started = watched(env={"WATCHFILES_FORCE_POLLING": "true"})
    started.stderr.wait_for_line(r"'.*' is polled for changes")
    for number, change in enumerate(
        (lambda: source.write_text(source.read_text() + "\n"), lambda: os.utime(source))
    ):
        change()
        wait_for_reload(started, times=number + 1)
    (source.parent / "made.py").write_text("made = 1\n")
    wait_for_reload(started, times=3)
    assert reloads(started) == ["'edited.py'", "'edited.py'", "'made.py'"]


def test_two_saves_that_look_alike_are_told_apart(watched, source: Path) -> None:
    started = watched()
    now = int(time.time())
    for edition in ("two", "six", "ten"):
        new = source.with_name(".new")
        save(new, edition)
        # Of the same size and the same second, as far as Python's bytecode cache knows.
        os.utime(new, (now, now))
        new.replace(source)
        wait_for(started, edition)


def test_a_module_in_a_new_directory_is_followed(watched, source: Path) -> None:
    started = watched()
    package = source.parent / "package"
    package.mkdir()
    (package / "__init__.py").write_text("edition = 'two'\n")
    source.write_text(APP.replace('b"EDITION"', "package.edition.encode()") + "\nimport package\n")
    wait_for(started, "two")
    (package / "__init__.py").write_text("edition = 'three'\n")
    wait_for(started, "three")


def test_a_moved_directory_is_followed_under_its_new_name(watched, source: Path) -> None:
    started = watched()
    (source.parent / "old").mkdir()
    (source.parent / "old" / "part.py").write_text("")
    wait_for_reload(started)
    (source.parent / "old").rename(source.parent / "new")
    wait_for_reload(started, times=2)
    (source.parent / "new" / "part.py").write_text("edited = True\n")
    wait_for_reload(started, times=3)
    assert reloads(started) == ["'old/part.py'", "'new/part.py'", "'new/part.py'"]


def test_a_removed_file_is_a_change(watched, source: Path) -> None:
    (source.parent / "part.py").write_text("")
    started = watched()
    (source.parent / "part.py").unlink()
    wait_for_reload(started)


def test_many_changes_are_one(watched, source: Path) -> None:
    started = watched("--reload-delay", "2")
    for number in range(300):
        (source.parent / f"part{number}.py").write_text("")
    save(source, "two")
    wait_for(started, "two")
    assert len(reloads(started)) == 1


def test_a_change_during_a_start_is_followed_at_once(watched, source: Path) -> None:
    started = watched()
    source.write_text("import time\ntime.sleep(3600)\n" + APP)
    started.stderr.wait_for_line("Started server process", times=2)
    save(source, "two")
    wait_for(started, "two")


# --- errors


def test_the_last_good_worker_serves_until_an_error_is_mended(watched, source: Path) -> None:
    started = watched()
    (worker,) = workers(started)
    for times in (1, 2):
        source.write_text(BROKEN * times)
        started.stderr.wait_for_line("SyntaxError", times=times)
        started.stderr.wait_for_line("exited with code 1; waiting for the next change", times=times)
        assert started.get("/").text == "one"
        assert workers(started) == [worker]
    save(source, "two")
    wait_for(started, "two")
    # Nothing was tried but what was saved.
    started.stderr.wait_for_line("Started server process", times=4)
    assert len(started.stderr.matches("Started server process")) == 4


def test_a_first_start_that_fails_waits_for_a_change(watched, source: Path) -> None:
    source.write_text(BROKEN)
    started = watched("--port", "0", wait=False)
    started.stderr.wait_for_line("SyntaxError")
    started.stderr.wait_for_line("waiting for the next change")
    save(source, "two")
    started.wait_until_running()
    assert started.get("/").text == "two"


def test_a_server_without_an_application_stops_when_told_to(watched, source: Path) -> None:
    source.write_text(BROKEN)
    started = watched(wait=False)
    started.stderr.wait_for_line("waiting for the next change")
    assert started.terminate() == 0


def test_a_worker_that_dies_is_replaced(watched) -> None:
    started = watched()
    dead = started.kill_worker()
    assert started.get("/").text == "one"
    assert workers(started) != [dead]


# --- clients


def test_an_open_stream_is_told_to_end_and_holds_up_no_reload(watched, source: Path) -> None:
    started = watched()
    with started.connect() as events:
        events.send(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n")
        assert events.read_head().status == 200
        assert events.read_chunk() == b"data: one\n\n"
        source.write_text(BROKEN)
        started.stderr.wait_for_line("waiting for the next change")
        assert events.read_chunk() == b"data: one\n\n"
        (old,) = workers(started)
        save(source, "two")
        wait_for(started, "two")
        while chunk := events.read_chunk():
            last = chunk
        assert last == b"one"
        assert processes.wait_for_exit(old, SOON)


def test_no_request_is_lost(watched, source: Path) -> None:
    started = watched()
    failures, answers, over = [], [], threading.Event()

    def ask() -> None:
        with started.connect() as kept:
            while not over.is_set():
                try:
                    answers.append(kept.get("/").text)
                    answers.append(started.get("/").text)
                except (AssertionError, OSError) as error:
                    failures.append(error)
                    return

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    until(lambda: "one" in answers or failures)
    for edition in ("two", "three", "four"):
        save(source, edition)
        wait_for(started, edition)
        until(lambda edition=edition: edition in answers or failures)
    over.set()
    for client in clients:
        client.join()
    assert not failures
    assert set(answers) == {"one", "two", "three", "four"}


# --- what counts


def test_only_what_is_included_and_not_excluded_counts(watched, source: Path) -> None:
    folder = source.parent
    (folder / "drafts").mkdir()
    (folder / ".hidden").mkdir()
    started = watched("--reload-include", "*.html", "--reload-exclude", "drafts")
    uncounted = ("a.txt", ".a.py", "a.pyc", "drafts/a.py", ".hidden/a.py")
    for name in (*uncounted, "page.html"):
        (folder / name).write_text("")
    wait_for_reload(started)
    save(source, "two")
    wait_for(started, "two")
    assert reloads(started) == ["'page.html'", "'edited.py'"]


def test_only_the_named_directories_are_watched(watched, source: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    started = watched("--reload-dir", str(other))
    save(source, "three")
    (other / "part.py").write_text("")
    wait_for(started, "three")
    assert reloads(started) == [f"'{other}/part.py'"]


def test_nothing_happens_while_no_file_is_written(watched) -> None:
    started = watched()
    started.get("/")

    def turns() -> str:
        status = Path(f"/proc/{started.pid}/status").read_text()
        return next(line for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))

    def is_quiet() -> bool:
        before = turns()
        time.sleep(1)
        return turns() == before

    # A polling client has no quiet second. The first ones may see the end of the start.
    assert any(is_quiet() for _ in range(20))


# --- lines and flags


def test_it_says_what_uvicorn_says(watched, source: Path) -> None:
    started = watched()
    save(source, "two")
    wait_for(started, "two")
    wait_for_reload(started)
    assert started.terminate() == 0
    started.stderr.wait_for_end()
    for line in (
        f"INFO:     Will watch for changes in these directories: ['{source.parent}']",
        f"INFO:     Started reloader process [{started.pid}] using inotify",
        "WARNING:  inotify detected changes in 'edited.py'. Reloading...",
        f"INFO:     Stopping reloader process [{started.pid}]",
    ):
        assert line in started.stderr.text


def test_there_is_one_worker_whatever_is_asked_for(watched) -> None:
    started = watched("--workers", "3")
    assert '"workers" flag is ignored when reloading is enabled.' in started.stderr
    assert len(workers(started)) == 1


def test_its_options_come_from_the_environment_too(watched, source: Path, tmp_path_factory) -> None:
    folders = [tmp_path_factory.mktemp(name) for name in ("left", "right")]
    started = watched(env={"UVICORN_RELOAD_DIRS": ":".join(map(str, folders))})
    (folders[1] / "part.py").write_text("")
    wait_for_reload(started)


def test_without_reload_its_options_are_a_warning(server, source: Path) -> None:
    started = server("edited:app", "--reload-dir", str(source.parent), cwd=source.parent)
    assert "Nothing is watched: the options of --reload are given without it" in started.stderr


def test_a_directory_that_is_none_is_wrong_usage(source: Path) -> None:
    finished = run("edited:app", "--reload", "--reload-dir", "nowhere", cwd=source.parent)
    assert finished.returncode == 2
    assert "--reload-dir" in finished.stderr and "not a directory" in finished.stderr
