"""Isolated calls: one function in a process of its own (docs/isolated.md). Here under no server: see the last tests."""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import processes
from harness.journal import until
from harness.server import APPS, REPOSITORY
from lowmem_serve import isolated

sys.path.append(str(APPS))
import isolated_functions as functions

PACKAGE = {"PYTHONPATH": str(REPOSITORY / "python")}


def children() -> list[int]:
    return processes.children(os.getpid())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No process, zombie or descriptor, whatever a test has done."""
    asyncio.run(isolated(functions.add, 1))
    # What earlier tests have left to the collector is not closed within this one.
    gc.collect()
    of_others, before = set(zombies()), descriptors()
    yield
    assert children() == []
    assert set(zombies()) <= of_others
    until(lambda: descriptors() <= before)


def zombies() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state == "Z" and int(parent) == os.getpid():
                found.append(int(entry.name))
    return found


def test_a_function_is_called_in_another_process_and_returns_its_value() -> None:
    async def calls():
        assert await isolated(functions.add, 1, b=2) == 3
        assert await isolated(functions.add_later, 1, b=2) == 3
        return await isolated(functions.modules)

    modules, path, pid = asyncio.run(calls())
    assert "isolated_functions" in modules and "pytest" not in modules
    assert path == sys.path and pid != os.getpid()
    assert isolated.sync(functions.add, 2, b=2, timeout=20) == 4


def test_what_is_large_goes_both_ways() -> None:
    value = isolated.sync(functions.large, 5_000_000)
    assert len(value) == 5_000_000 and value[:1] == b"x"
    value[0] = 0
    for count in (10, 200_000, 3_000_000):
        assert isolated.sync(functions.echo, b"y" * count) == b"y" * count


def test_an_exception_keeps_its_type_and_shows_where_it_was_raised() -> None:
    with pytest.raises(KeyError) as raised:
        asyncio.run(isolated(functions.raise_key_error, "k"))
    assert raised.value.args == ("k",) and "in raise_key_error" in str(raised.value.__cause__)
    with pytest.raises(isolated.RemoteError, match="Odd: 1 2"):
        isolated.sync(functions.raise_odd)
    with pytest.raises(Exception, match="pickle"):
        isolated.sync(functions.unpicklable)


@pytest.mark.parametrize("way", ["asynchronous", "synchronous"])
def test_limits_are_kept_and_ends_are_told(way: str) -> None:
    def call(function, *args, **limits):
        if way == "synchronous":
            return isolated.sync(function, *args, **limits)
        return asyncio.run(isolated(function, *args, **limits))

    begun = time.monotonic()
    with pytest.raises(isolated.Timeout, match=r"sleep took longer than 0\.5 s"):
        call(functions.sleep, 30, timeout=0.5)
    with pytest.raises(isolated.OutOfMemory, match=r"had \d+ MB of its own"):
        call(functions.grow, 200 << 20, max_memory="100M")
    assert time.monotonic() - begun < 28
    with pytest.raises(isolated.Died) as died:
        call(functions.end_by, int(signal.SIGSEGV))
    assert died.value.signal == signal.SIGSEGV and died.value.code is None
    with pytest.raises(isolated.Died) as died:
        call(functions.leave, 4)
    assert died.value.signal is None and died.value.code == 4


def test_a_call_that_is_cancelled_takes_all_its_processes_along(capfd) -> None:
    async def cancelled() -> int:
        task = asyncio.create_task(isolated(functions.brood))
        written = ""
        while not written.strip():
            written += capfd.readouterr().out
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return int(written)

    assert processes.wait_for_exit(asyncio.run(cancelled()), 40)


def test_many_cancellations_leave_nothing() -> None:
    async def cancel(after: float) -> None:
        task = asyncio.create_task(isolated(functions.sleep, 30))
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def every() -> None:
        for number in range(40):
            await asyncio.gather(*(cancel(number % 8 * 0.01) for _ in range(3)))

    asyncio.run(every())


def test_a_stream_is_a_few_items_ahead_at_most(tmp_path: Path) -> None:
    note = tmp_path / "note"

    async def read():
        seen = []
        async for item in isolated.stream(functions.rows, 100, str(note)):
            seen.append(item)
            if item == 10:
                await asyncio.sleep(0.3)
                # It is empty in the moment in which it is written anew.
                ahead = int(until(note.read_text))
        return seen, ahead

    seen, ahead = asyncio.run(read())
    assert seen == list(range(100)) and ahead <= 16

    async def others():
        large = [item[0] async for item in isolated.stream(functions.rows_later, 6)]
        with pytest.raises(ValueError, match="on purpose"):
            async for _ in isolated.stream(functions.failing_rows):
                pass
        items = isolated.stream(functions.rows, 10_000)
        async for _ in items:
            break
        await items.aclose()
        return large, [item async for item in functions.counted.stream(3)]

    assert asyncio.run(others()) == ([0, 1, 2, 3, 4, 5], [0, 1, 2])


def test_a_function_can_always_be_isolated() -> None:
    value, pid, timeout = functions.doubled.sync(2, timeout=9)
    assert (value, timeout) == (4, 9) and pid != os.getpid()
    assert asyncio.run(functions.doubled("a"))[0] == "aa"
    assert functions.doubled.__name__ == "doubled" and functions.doubled.__isolated__(3)[1] == os.getpid()


def test_calls_wait_for_a_place_in_their_order(monkeypatch) -> None:
    from lowmem_serve.isolated import outcome
    from lowmem_serve.isolated.slots import Slots

    monkeypatch.setattr(outcome, "slots", [Slots(1)])
    order = []

    async def called(number: int) -> None:
        await isolated(functions.sleep, 0.05)
        order.append(number)

    async def every() -> None:
        tasks = [asyncio.create_task(called(number)) for number in range(5)]
        await asyncio.sleep(0.01)
        tasks[2].cancel()
        with pytest.raises(isolated.Timeout):
            await isolated(functions.sleep, 1, timeout=0.01)
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(every())
    assert order == [0, 1, 3, 4]
    threads = [threading.Thread(target=isolated.sync, args=(functions.sleep, 0.05)) for _ in range(4)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    with pytest.raises(isolated.Timeout):
        isolated.sync(functions.sleep, 1, timeout=0.01)
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun >= 0.2
    assert outcome.slots[0]._free == 1


def test_context_variables_that_can_be_pickled_travel() -> None:
    functions.language.set("Esperanto")
    try:
        assert isolated.sync(functions.spoken) == "Esperanto"
    finally:
        functions.language.set("none")


def test_what_another_process_cannot_import_is_told_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"is a lambda.*move it to the top level"):
        isolated.sync(lambda: None)

    def inner():
        pass

    with pytest.raises(TypeError, match="inside another function"):
        isolated.sync(inner)
    inner.__module__, inner.__qualname__ = "__main__", "inner"
    with pytest.raises(TypeError, match=r"started as a script.*a module of its own"):
        isolated.sync(inner)
    inner.__module__, inner.__qualname__ = functions.__name__, "add"
    with pytest.raises(TypeError, match="is another object"):
        isolated.sync(inner)
    with pytest.raises(ValueError, match="no size like"):
        isolated.sync(functions.add, 1, max_memory="much")


@pytest.mark.parametrize("loop", ["auto", "asyncio", "uvloop"])
def test_it_works_in_a_worker_on_every_loop(server, loop: str) -> None:
    started = server("isolated_app:app", "--loop", loop, env=PACKAGE)
    assert started.get("/?a=1&b=2").body == b"3"
    worker = started.only_worker()
    assert processes.children(worker) == []


def test_it_works_in_a_thread_of_wsgi_and_ends_with_its_worker(server, tmp_path: Path) -> None:
    started = server("isolated_app:wsgi", env=PACKAGE)
    assert started.get("/?a=1&b=2").body == b"3"
    worker = started.only_worker()
    with started.connect() as client:
        client.send(b"GET /sleep HTTP/1.1\r\nhost: x\r\n\r\n")
        calls = until(lambda: processes.children(worker))
        time.sleep(0.3)
        os.kill(worker, signal.SIGKILL)
        assert processes.wait_for_exit(calls[0], 25)


def test_a_process_whose_caller_has_gone_before_it_began_ends_at_once() -> None:
    from lowmem_serve.isolated import fresh

    ours, theirs = socket.socketpair()
    reading, lifeline = os.pipe()
    os.close(lifeline)
    with ours, theirs, os.fdopen(reading) as closed:
        # It would wait for what it should call.
        process = fresh._start(theirs.fileno(), closed.fileno(), "isolated_functions.add", None)
        try:
            assert process.wait(60) == -signal.SIGKILL
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("flags", "count"),
    [(("--isolated-concurrent", "7"), 7), ((), max(len(os.sched_getaffinity(0)) - 1, 1))],
)
def test_the_number_of_calls_is_an_option_and_leaves_a_processor_to_requests(server, flags, count) -> None:
    started = server("isolated_app:app", *flags, env=PACKAGE)
    assert int(started.get("/concurrent").body) == count


def test_the_loop_goes_on_while_a_process_gives_its_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from lowmem_serve.isolated import fresh

    seen = []
    ended = fresh.Fresh.end

    def end(process):
        # By now it has ended: this waits for nothing.
        seen.append(has_ended(process.pid))
        return ended(process)

    def has_ended(pid: int) -> bool:
        return (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) == "Z"

    monkeypatch.setattr(fresh.Fresh, "end", end)
    assert asyncio.run(isolated(functions.keep, 200_000_000)) == 1
    assert seen == [True]


def test_a_caller_that_is_cancelled_as_its_place_comes_free_gives_it_back() -> None:
    from types import SimpleNamespace

    from lowmem_serve.isolated import waiting
    from lowmem_serve.isolated.slots import Slots

    async def main() -> None:
        slots = Slots(1)
        assert slots.take(lambda: True)
        call = SimpleNamespace(module="m", name="f", timeout=None)
        for turns in range(4):
            task = asyncio.create_task(waiting._take(slots, call, None))
            await asyncio.sleep(0)
            slots.give_back()
            for _ in range(turns):
                # The place is on its way: with each turn one step further.
                await asyncio.sleep(0)
            task.cancel()
            took = await asyncio.gather(task, return_exceptions=True)
            if took == [None]:
                # It had been served before.
                slots.give_back()
            else:
                assert isinstance(took[0], asyncio.CancelledError)
            await asyncio.sleep(0)
            assert slots.take(lambda: True), turns

    asyncio.run(asyncio.wait_for(main(), 60))
