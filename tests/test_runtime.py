"""Code that runs in the server finds the Python it would find anywhere else, on every event loop."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import APPS, Server

LOOPS = ("auto", "asyncio", "uvloop")

PROMPTLY = 20.0
"""Seconds for a line to cross a pipe, generously: output that is held back never comes by itself."""

WAKE_UP = 0.05
"""Seconds until an idle loop has noticed another thread, or a timer; waiting for a CPU is taken off."""


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def runtime(loop: str) -> Iterator[Server]:
    with Server("runtime:app", "--loop", loop) as server:
        yield server


def ask(server: Server, truth: str) -> object:
    response = server.request("GET", f"/{truth}", timeout=60)
    assert response.status == 200, server.output
    return response.json()


def tries(measure: Callable[[], float], limit: float) -> list[float]:
    """What is measured, once and where the machine gave its CPUs to others meanwhile up to five times."""
    seen = [measure()]
    while seen[-1] >= limit and len(seen) < 5:
        seen.append(measure())
    return seen


def python_says(program: str) -> object:
    """What the same environment's own python prints, as JSON."""
    return json.loads(subprocess.check_output([sys.executable, "-c", program]))


# --- the interpreter


@pytest.mark.parametrize("attribute", ["executable", "prefix", "base_prefix", "exec_prefix", "version"])
def test_sys_names_the_environments_own_python(runtime: Server, attribute: str) -> None:
    own = python_says(f"import json, sys; print(json.dumps(sys.{attribute}))")
    assert ask(runtime, "interpreter")[attribute] == own


def test_argv_is_the_command_as_it_was_given(runtime: Server) -> None:
    assert ask(runtime, "interpreter")["argv"] == runtime.arguments


def test_the_first_place_to_import_from_is_the_apps_directory(runtime: Server) -> None:
    path = ask(runtime, "interpreter")["path"]
    assert os.path.join(APPS, path[0]).rstrip("/") == str(APPS)


def test_the_path_behind_it_is_the_environments_own(runtime: Server) -> None:
    own = python_says("import json, sys; print(json.dumps(sys.path[1:]))")
    assert [place for place in ask(runtime, "interpreter")["path"] if place in own] == own


def test_main_is_a_module_that_a_child_process_may_import_again(runtime: Server) -> None:
    name, file = ask(runtime, "interpreter")["main"]
    assert name == "__main__"
    assert file is None or os.path.exists(file)


def test_the_interpreter_is_configured_as_python_is(runtime: Server) -> None:
    program = (
        "import json, sys; print(json.dumps([[sys.flags.isolated, sys.flags.no_site, sys.flags.safe_path,"
        " sys.flags.utf8_mode], [sys.getfilesystemencoding(), sys.stdout.encoding, sys.stderr.encoding]]))"
    )
    seen = ask(runtime, "interpreter")
    assert [seen["flags"], seen["encoding"]] == python_says(program)


def test_the_application_runs_in_the_main_thread(runtime: Server) -> None:
    assert ask(runtime, "interpreter")["thread"] == [True, "MainThread"]


def test_endless_recursion_is_an_error_that_can_be_caught(runtime: Server) -> None:
    assert ask(runtime, "recursion") == "RecursionError"


def test_endless_recursion_uncaught_is_a_500_and_the_server_goes_on(runtime: Server) -> None:
    assert runtime.get("/uncaught_recursion").status == 500
    assert ask(runtime, "recursion") == "RecursionError"


def test_garbage_can_be_collected(runtime: Server) -> None:
    assert ask(runtime, "collect_garbage") is True


def test_faulthandler_can_be_enabled_and_shows_the_stack(runtime: Server) -> None:
    is_enabled, stack = ask(runtime, "dump_traceback")
    assert is_enabled
    assert 'runtime/interpreter.py"' in stack and "in dump_traceback" in stack


def test_what_is_printed_and_logged_arrives_at_once(runtime: Server) -> None:
    ask(runtime, "print_and_log")
    runtime.stdout.wait_for_line("^printed without a flush$", PROMPTLY)
    runtime.stderr.wait_for_line("^printed to stderr$", PROMPTLY)
    runtime.stderr.wait_for_line("^logged by the application$", PROMPTLY)


def test_a_signal_handler_of_the_application_runs_while_the_server_is_idle(runtime: Server) -> None:
    os.kill(ask(runtime, "interpreter")["pid"], signal.SIGUSR2)
    runtime.stdout.wait_for_line("SIGUSR2 was handled", PROMPTLY)
    assert ask(runtime, "collect_garbage") is True


RUNS_A_LOOP_OF_ITS_OWN = """
import asyncio

async def prepare():
    await asyncio.sleep(0.01)
    return b"prepared"

prepared = asyncio.run(prepare())

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": prepared})
"""


def test_no_loop_runs_while_the_application_is_imported(server, loop: str, tmp_path: Path) -> None:
    (tmp_path / "prepares.py").write_text(RUNS_A_LOOP_OF_ITS_OWN)
    assert server("prepares:app", "--loop", loop, cwd=tmp_path).get("/").body == b"prepared"


# --- processes


@pytest.mark.parametrize("truth", ["process_by_spawn", "process_by_fork", "executor_of_processes"])
def test_multiprocessing_returns_a_value(runtime: Server, truth: str) -> None:
    assert ask(runtime, truth) == 42


def test_ending_a_forked_process_ends_it_and_not_the_server(runtime: Server) -> None:
    """It has the signal handlers of the worker, and must not act on them."""
    assert ask(runtime, "end_a_forked_process") == -signal.SIGTERM
    assert ask(runtime, "process_by_fork") == 42
    assert "Shutting down" not in runtime.stderr


def test_a_subprocess_runs(runtime: Server) -> None:
    assert ask(runtime, "subprocess_run") == "42"


def test_a_subprocess_starts_with_no_signal_blocked_or_ignored(runtime: Server) -> None:
    blocked, ignored = ask(runtime, "signals_of_a_subprocess")
    # 32 and 33 are the C library's own; whatever posix_spawn started, make among others, ignores them.
    assert (blocked, ignored & ~(0b11 << 31)) == (0, 0)


def test_subprocesses_of_asyncio_are_fed_read_and_reaped(runtime: Server) -> None:
    assert ask(runtime, "subprocesses_of_asyncio") == [["A", 7], ["B", 7], ["C", 7]]


# --- threads


def test_to_thread_runs_elsewhere_and_carries_the_context(runtime: Server) -> None:
    assert ask(runtime, "to_thread") == [True, "carried"]


def test_the_default_executor_returns_a_value(runtime: Server) -> None:
    assert ask(runtime, "executor_of_threads") == 42


def test_a_second_event_loop_runs_in_a_thread(runtime: Server) -> None:
    assert ask(runtime, "loop_in_a_thread") == 42


def test_a_thread_works_on_while_the_server_is_idle(runtime: Server) -> None:
    def seconds() -> float:
        before = len(runtime.stdout.matches("worked for"))
        ask(runtime, "work_in_the_background")
        line = runtime.stdout.wait_for_line(r"worked for ([\d.]+) s", PROMPTLY, times=before + 1)
        return float(line[1])

    took = tries(seconds, 0.6)
    assert took[-1] < 0.6, took


def test_a_thread_wakes_the_idle_loop_promptly(runtime: Server) -> None:
    took = tries(lambda: ask(runtime, "wake_from_a_thread"), WAKE_UP)
    assert took[-1] < WAKE_UP, took


# --- tasks and context


def test_a_request_runs_in_a_real_task(runtime: Server) -> None:
    seen = ask(runtime, "task")
    del seen["loop"]
    assert seen == {"is a Task": True, "in all_tasks": True, "one loop": True, "cancelling": 0}


def test_the_loop_is_the_one_that_was_asked_for(runtime: Server, loop: str) -> None:
    expected = {"auto": "", "asyncio": "asyncio", "uvloop": "uvloop"}[loop]
    assert ask(runtime, "task")["loop"].startswith(expected)


def test_rloop_serves_tasks_threads_and_timeouts() -> None:
    """Not all that the others are asked: rloop 0.2 calls exception handlers without the loop."""
    pytest.importorskip("rloop", reason="rloop has no wheel for this Python")
    with Server("runtime:app", "--loop", "rloop") as server:
        task = ask(server, "task")
        assert task.pop("loop").startswith("rloop")
        assert task == {"is a Task": True, "in all_tasks": True, "one loop": True, "cancelling": 0}
        with server.connect() as client:
            assert [client.get("/mark_context").json() for _ in range(3)] == ["unset"] * 3
        assert server.terminate() == 0


def test_context_does_not_leak_along_a_connection(runtime: Server) -> None:
    with runtime.connect() as client:
        assert [client.get("/mark_context").json() for _ in range(3)] == ["unset"] * 3


def test_context_does_not_leak_between_pipelined_requests(runtime: Server) -> None:
    with runtime.connect() as client:
        client.send(b"GET /mark_context HTTP/1.1\r\nhost: a\r\n\r\n" * 3)
        assert [client.read_response().json() for _ in range(3)] == ["unset"] * 3


def test_one_request_can_wake_another(runtime: Server) -> None:
    with runtime.connect() as waiting:
        waiting.send(b"GET /wait_at_door HTTP/1.1\r\nhost: a\r\n\r\n")
        ask(runtime, "open_door")
        assert waiting.read_response().json() == "open"


def test_a_task_goes_on_after_the_answer(runtime: Server) -> None:
    ask(runtime, "go_on_after_the_answer")
    runtime.stdout.wait_for_line("the task went on", PROMPTLY)


def test_a_task_group_cancels_the_siblings_of_the_one_that_fails(runtime: Server) -> None:
    assert ask(runtime, "task_group") == ["cancelled", "one fails"]


def test_timeouts_and_cancellation_reach_what_is_awaited(runtime: Server) -> None:
    assert ask(runtime, "timeouts") == ["timeout", "wait_for", "with a message"]


def test_anyio_finds_asyncio_and_works(runtime: Server) -> None:
    assert ask(runtime, "anyio_works") == ["asyncio", True, 42, 42]


# --- the event loop


def test_callbacks_run_in_their_order(runtime: Server) -> None:
    expected = ["soon", "sooner than the timers", "first", "second", "third"]
    assert ask(runtime, "order_of_callbacks") == expected


def test_timers_are_neither_early_nor_late(runtime: Server) -> None:
    def latest() -> float:
        drift, late = ask(runtime, "accuracy_of_timers")
        # A loop may count in milliseconds.
        assert drift < 0.002
        assert min(late) > -0.002, late
        return max(late)

    took = tries(latest, WAKE_UP)
    assert took[-1] < WAKE_UP, took


def test_readers_and_writers_are_told_of_ready_descriptors(runtime: Server) -> None:
    assert ask(runtime, "readers_and_writers") == ["by socket", "by pipe"]


def test_a_signal_handler_of_the_loop_is_called(runtime: Server) -> None:
    assert ask(runtime, "signal_handler_of_the_loop") is True


def test_streams_serve_and_connect(runtime: Server) -> None:
    assert ask(runtime, "streams") == "HELLO\n"


def test_the_application_can_ask_its_own_server(runtime: Server) -> None:
    assert ask(runtime, "ask_itself") == "HTTP/1.1 200 OK"


def test_datagrams_are_sent_and_received(runtime: Server) -> None:
    assert ask(runtime, "datagrams") == "a datagram"


def test_names_are_looked_up(runtime: Server) -> None:
    assert set(ask(runtime, "name_lookup")) <= {"127.0.0.1", "::1"}


def test_a_failing_callback_is_told_to_the_exception_handler(runtime: Server) -> None:
    assert "ZeroDivisionError" in ask(runtime, "failing_callback")


def test_debug_mode_warns_of_slow_callbacks(server, loop: str) -> None:
    debugged = server("runtime:app", "--loop", loop, env={"PYTHONASYNCIODEBUG": "1"})
    assert ask(debugged, "debug_mode") is True
    debugged.stderr.wait_for_line(r"Executing .* took \d+\.\d+ seconds", PROMPTLY)


# --- the end


def test_the_end_is_orderly(server, loop: str) -> None:
    ending = server("runtime:app", "--loop", loop)
    ask(ending, "leave_a_generator_open")
    assert ending.terminate() == 0
    output = ending.stdout.wait_for_end()
    assert "the generator was closed" in output
    assert "atexit ran" in output, "atexit did not run, or its line without an end was not flushed"
