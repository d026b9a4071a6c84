"""--preload: the application is imported once, and workers are forked from the process that did."""

import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from harness import REPOSITORY, Server, processes, run
from harness.journal import until

MIB = 1024 * 1024
PATIENCE = 40  # seconds, after which something is taken to hang
IMPORTED = "the application is imported"
# What a further Quart worker may have for itself when it is ready; a worker that imports has 28 MiB.
UNSHARED_BUDGET = 10 * MIB
# What it takes to fork a Quart worker and bring it through its lifespan, as a part of what the template took
# to import it. 0.02 is usual.
READY_BUDGET = 0.06


def imports(server: Server) -> int:
    return len(server.stderr.matches(IMPORTED))


def template(server: Server, times: int = 1) -> int:
    """The pid of the template, or of the one that came after it."""
    line = server.stderr.wait_for_line(r"Imported the application for all workers \[(\d+)\]", times=times)
    return int(line[1])


def workers(server: Server) -> list[int]:
    return [pid for pid in server.worker_pids() if pid != template(server)]


def private_dirty(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Private_Dirty:\s+(\d+) kB", rollup)[1]) * 1024  # type: ignore[index]


def ask(server: Server) -> dict[str, Any]:
    return server.get("/").json()


def answered_by_another(server: Server, pid: int) -> dict[str, Any]:
    """The first answer that another worker gives."""
    deadline = time.monotonic() + PATIENCE
    while (answer := ask(server))["pid"] == pid:
        assert time.monotonic() < deadline, server.output
        time.sleep(0.01)
    return answer


def test_the_application_is_imported_once_for_all_workers(server: Any) -> None:
    serving = server("preloaded:app", "--preload", "--workers", "3")
    serving.stderr.wait_for_line("startup in", times=3)
    assert imports(serving) == 1
    assert len(workers(serving)) == 3
    answer = ask(serving)
    assert answer["pid"] in workers(serving)
    assert answer["parent"] == serving.pid, "workers are the supervisor's children"
    assert answer["main"] and answer["threads"] == 1


def test_the_supervisor_stays_without_python(server: Any) -> None:
    serving = server("preloaded:app", "--preload")
    assert "libpython" not in Path(f"/proc/{serving.pid}/maps").read_text()


def test_without_the_flag_nothing_is_preloaded(server: Any) -> None:
    serving = server("preloaded:app")
    assert ask(serving)["parent"] == serving.pid
    assert "Imported the application for all workers" not in serving.stderr
    assert len(serving.worker_pids()) == 1


def test_a_further_quart_worker_has_little_for_itself(server: Any, tmp_path: Path) -> None:
    serving = server(
        "app:app", "--preload", "--workers", "2",
        cwd=REPOSITORY / "examples" / "quart_app", env={"QUART_DB": str(tmp_path / "db.sqlite3")},
    )  # fmt: skip
    serving.stderr.wait_for_line("Application startup complete", times=2)
    assert max(private_dirty(pid) for pid in workers(serving)) < UNSHARED_BUDGET


def cpu_seconds(pid: int) -> float:
    """What the one thread of a process has run, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def test_a_fork_takes_little_to_be_ready(server: Any, tmp_path: Path) -> None:
    """CPU time: what else the machine does at the moment does not count."""
    serving = server(
        "app:app", "--preload", "--workers", "1",
        cwd=REPOSITORY / "examples" / "quart_app", env={"QUART_DB": str(tmp_path / "db.sqlite3")},
    )  # fmt: skip
    forks = template(serving)
    imported = cpu_seconds(forks)
    took = []
    for more in range(2, 7):
        known, forking = workers(serving), cpu_seconds(forks)
        serving.send_signal(signal.SIGTTIN)
        serving.stderr.wait_for_line("Application startup complete", times=more)
        [new] = set(workers(serving)) - set(known)
        took.append(cpu_seconds(new) + cpu_seconds(forks) - forking)
    assert min(took) < READY_BUDGET * imported, (took, imported)


def test_workers_do_not_draw_the_same_random_numbers(server: Any) -> None:
    serving = server("preloaded:app", "--preload")
    first = ask(serving)
    os.kill(first["pid"], signal.SIGKILL)
    assert answered_by_another(serving, first["pid"])["random"] != first["random"]


def test_a_worker_that_dies_is_forked_anew(server: Any) -> None:
    serving = server("preloaded:app", "--preload")
    first = ask(serving)["pid"]
    os.kill(first, signal.SIGKILL)
    serving.stderr.wait_for_line(rf"Worker \(pid {first}\) was killed by SIGKILL; starting another")
    answered_by_another(serving, first)
    assert processes.is_reaped(first, PATIENCE)
    assert imports(serving) == 1


def test_its_exit_code_is_told(server: Any) -> None:
    serving = server("preloaded:app", "--preload")
    first = ask(serving)["pid"]
    with serving.connect() as client:
        client.send(b"GET /exit HTTP/1.1\r\nhost: a\r\n\r\n")
        serving.stderr.wait_for_line(rf"Worker \(pid {first}\) exited with code 9; starting another")
    answered_by_another(serving, first)


@pytest.mark.parametrize("flags", [("--max-requests", "3"), ("--ttl", "1s")], ids=["requests", "ttl"])
def test_recycling_forks_and_does_not_import(server: Any, flags: tuple[str, str]) -> None:
    serving = server("preloaded:app", "--preload", *flags)
    seen = set()
    deadline = time.monotonic() + PATIENCE
    while len(seen) < 3:
        seen.add(ask(serving)["pid"])
        assert time.monotonic() < deadline, serving.output
        time.sleep(0.02)
    assert imports(serving) == 1


class TestSighup:
    SOURCE = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"VERSION"})
"""

    def write(self, directory: Path, version: str) -> None:
        (directory / "changing.py").write_text(self.SOURCE.replace("VERSION", version))

    def test_it_imports_what_has_changed(self, server: Any, tmp_path: Path) -> None:
        self.write(tmp_path, "one")
        serving = server("changing:app", "--preload", "--workers", "2", cwd=tmp_path)
        old = template(serving)
        assert serving.get("/").text == "one"
        self.write(tmp_path, "number two")
        serving.send_signal(signal.SIGHUP)
        serving.stderr.wait_for_line("Recycled worker", times=2)
        assert [serving.get("/").text for _ in range(6)] == ["number two"] * 6
        assert template(serving, times=2) != old
        assert processes.is_reaped(old, PATIENCE)

    def test_what_can_not_be_imported_leaves_the_old_workers(self, server: Any, tmp_path: Path) -> None:
        self.write(tmp_path, "one")
        serving = server("changing:app", "--preload", cwd=tmp_path)
        (tmp_path / "changing.py").write_text("this is no Python")
        serving.send_signal(signal.SIGHUP)
        serving.stderr.wait_for_line("SyntaxError")
        serving.stderr.wait_for_line(
            r"Worker \(pid [1-9]\d*\) exited with code 1 before it was ready; the old one"
        )
        assert serving.get("/").text == "one"
        self.write(tmp_path, "mended")
        serving.send_signal(signal.SIGHUP)
        self.wait_for_answers(serving, "mended")

    def test_after_an_import_that_failed_workers_come_from_the_old_template(
        self, server: Any, tmp_path: Path
    ) -> None:
        self.write(tmp_path, "one")
        serving = server("changing:app", "--preload", "--workers", "2", cwd=tmp_path)
        old = template(serving)
        for times in (1, 2):
            (tmp_path / "changing.py").write_text("this is no Python")
            serving.send_signal(signal.SIGHUP)
            serving.stderr.wait_for_line(
                rf"new template .* workers come from the one before .*{old}\)", times=times
            )
            [killed, *_] = workers(serving)
            os.kill(killed, signal.SIGKILL)
            assert processes.is_reaped(killed, PATIENCE)
            until(lambda gone=killed: len(workers(serving)) == 2 and gone not in workers(serving))
            assert [serving.get("/").text for _ in range(4)] == ["one"] * 4
        self.write(tmp_path, "mended")
        serving.send_signal(signal.SIGHUP)
        self.wait_for_answers(serving, "mended")
        assert processes.is_reaped(old, PATIENCE)

    @staticmethod
    def wait_for_answers(serving: Server, text: str) -> None:
        """Until several in a row are this one, whichever worker gives them."""
        deadline = time.monotonic() + PATIENCE
        while [serving.get("/").text for _ in range(6)] != [text] * 6:
            assert time.monotonic() < deadline, serving.output
            time.sleep(0.05)

    def test_a_reload_imports_again_too(self, server: Any, tmp_path: Path) -> None:
        self.write(tmp_path, "one")
        serving = server("changing:app", "--preload", "--reload", cwd=tmp_path)
        assert serving.get("/").text == "one"
        self.write(tmp_path, "number two")
        serving.stderr.wait_for_line("Reloaded in")
        # The old worker is told to end at that moment.
        self.wait_for_answers(serving, "number two")
        template(serving, times=2)


class TestTheTemplate:
    def test_workers_serve_on_without_it_and_another_is_made_for_the_next_worker(self, server: Any) -> None:
        serving = server("preloaded:app", "--preload")
        first = ask(serving)["pid"]
        os.kill(template(serving), signal.SIGKILL)
        serving.stderr.wait_for_line(r"The template \(pid \d+\) was killed by SIGKILL")
        assert ask(serving)["pid"] == first
        os.kill(first, signal.SIGKILL)
        answered_by_another(serving, first)
        serving.stderr.wait_for_line(IMPORTED, times=2)
        assert imports(serving) == 2

    def test_one_that_dies_while_it_imports_ends_the_start(self) -> None:
        with Server("preloaded:app", "--preload", env={"PRELOADED": "slow"}, wait=False) as serving:
            serving.stderr.wait_for_line("the import hangs")
            os.kill(serving.worker_pids()[0], signal.SIGKILL)
            assert serving.wait() == 3

    def test_a_stop_while_it_imports_is_heard(self) -> None:
        with Server("preloaded:app", "--preload", env={"PRELOADED": "slow"}, wait=False) as serving:
            serving.stderr.wait_for_line("the import hangs")
            assert serving.terminate() == 0

    def test_one_that_takes_too_long_is_killed(self) -> None:
        flags = ("--preload", "--timeout-worker-startup", "1")
        with Server("preloaded:app", *flags, env={"PRELOADED": "slow"}, wait=False) as serving:
            assert serving.wait() == 3
            assert "was not ready after" in serving.stderr.wait_for_end()

    def test_nothing_outlives_a_supervisor_that_is_killed(self) -> None:
        with Server("preloaded:app", "--preload", "--workers", "2") as serving:
            serving.stderr.wait_for_line("startup in", times=2)
            left = serving.worker_pids()
            assert len(left) == 3
            os.kill(serving.pid, signal.SIGKILL)
            assert all(processes.wait_for_exit(pid, PATIENCE) for pid in left)

    def test_an_interrupt_of_the_whole_group_ends_everything_in_order(self, server: Any) -> None:
        serving = server("preloaded:app", "--preload", "--workers", "2")
        serving.stderr.wait_for_line("startup in", times=2)
        os.killpg(serving.pid, signal.SIGINT)
        assert serving.wait() == 0
        serving.stderr.wait_for_end()
        assert len(serving.stderr.matches("Finished server process")) == 2
        assert "KeyboardInterrupt" not in serving.stderr


class TestAnImport:
    def test_that_raises_is_told_as_ever(self, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("1 / 0")
        finished = run("broken:app", "--preload", "--port", "0", cwd=tmp_path)
        assert finished.returncode == 1
        assert "ZeroDivisionError" in finished.stderr

    def test_of_nothing_is_told_as_ever(self) -> None:
        finished = run("no_such_module:app", "--preload", "--port", "0")
        assert finished.returncode == 3
        assert 'Could not import module "no_such_module"' in finished.stderr

    def test_that_starts_threads_is_warned_about(self, server: Any) -> None:
        serving = server("preloaded:app", "--preload", env={"PRELOADED": "thread"})
        serving.stderr.wait_for_line(r"started 1 thread\(s\), which workers do not have: poller")
        assert ask(serving)["threads"] == 1

    def test_that_opens_a_connection_is_warned_about(self, server: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            serving = server(
                "preloaded:app", "--preload", env={"PRELOADED": "socket", "PRELOADED_PORT": str(port)}
            )
            serving.stderr.wait_for_line(rf"opened a connection to 127\.0\.0\.1:{port}")

    def test_of_the_harmless_kind_is_not(self, server: Any) -> None:
        assert "--preload:" not in server("preloaded:app", "--preload").stderr


def test_wsgi_workers_are_forked_too(server: Any) -> None:
    serving = server("preloaded:wsgi", "--preload", "--workers", "2")
    assert int(serving.get("/").text) in workers(serving)
    assert imports(serving) == 1
