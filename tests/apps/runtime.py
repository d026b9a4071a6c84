"""What is true for code that runs in the server: a route for each truth, which answers with what it saw."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import contextvars
import faulthandler
import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread
import sniffio

truths = {}
left_open = []
mark = contextvars.ContextVar("mark", default="unset")
door = None


def truth(function):
    truths[f"/{function.__name__}"] = function
    return function


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        answer = json.dumps(await truths[scope["path"]](scope)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def lifespan(receive, send):
    global door
    await receive()
    door = asyncio.Event()
    signal.signal(signal.SIGUSR2, lambda number, frame: print("SIGUSR2 was handled", flush=True))
    atexit.register(print, "atexit ran", end="")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


# --- the interpreter


@truth
async def interpreter(scope):
    import __main__

    return {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "exec_prefix": sys.exec_prefix,
        "version": sys.version,
        "argv": sys.argv,
        "path": sys.path,
        "flags": [sys.flags.isolated, sys.flags.no_site, sys.flags.safe_path, sys.flags.utf8_mode],
        "encoding": [sys.getfilesystemencoding(), sys.stdout.encoding, sys.stderr.encoding],
        "main": [__main__.__name__, getattr(__main__, "__file__", None)],
        "thread": [threading.current_thread() is threading.main_thread(), threading.main_thread().name],
        "pid": os.getpid(),
    }


def dive(depth=0):
    return dive(depth + 1)


@truth
async def recursion(scope):
    try:
        dive()
    except RecursionError:
        return "RecursionError"


@truth
async def uncaught_recursion(scope):
    dive()


@truth
async def collect_garbage(scope):
    return gc.collect() >= 0


@truth
async def dump_traceback(scope):
    faulthandler.enable()
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return [faulthandler.is_enabled(), file.read().decode()]


@truth
async def print_and_log(scope):
    print("printed without a flush")
    print("printed to stderr", file=sys.stderr)
    logging.getLogger("runtime").warning("logged by the application")


# --- processes


def double(number):
    return number * 2


def sleep_long():
    time.sleep(30)


@truth
async def process_by_spawn(scope):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(double, (21,))


@truth
async def process_by_fork(scope):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(double, (21,))


@truth
async def end_a_forked_process(scope):
    child = multiprocessing.get_context("fork").Process(target=sleep_long)
    child.start()
    child.terminate()
    child.join(20)
    child.kill()
    child.join()
    return child.exitcode


@truth
async def executor_of_processes(scope):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        return await asyncio.get_running_loop().run_in_executor(executor, double, 21)


@truth
async def subprocess_run(scope):
    child = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, check=True)
    return child.stdout.decode().strip()


@truth
async def signals_of_a_subprocess(scope):
    status = subprocess.check_output(["cat", "/proc/self/status"], text=True)
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return [int(lines["SigBlk"], 16), int(lines["SigIgn"], 16)]


@truth
async def subprocesses_of_asyncio(scope):
    async def upper(text):
        program = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(7)"
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, **pipes)
        output, _ = await child.communicate(text.encode())
        return [output.decode(), child.returncode]

    return await asyncio.gather(*(upper(text) for text in ("a", "b", "c")))


# --- threads


def waited_for_a_cpu():
    """How long, in seconds, the threads of this process have been ready to run and could not, together.

    The second figure of schedstat. What else the machine does is not the loop's fault.
    """
    with os.scandir("/proc/self/task") as threads:
        paths = [os.path.join(thread.path, "schedstat") for thread in threads]
    waited = 0
    for path in paths:
        with contextlib.suppress(OSError), open(path) as file:
            waited += int(file.read().split()[1])
    return waited / 1e9


@truth
async def to_thread(scope):
    mark.set("carried")
    return [
        await asyncio.to_thread(threading.get_ident) != threading.get_ident(),
        await asyncio.to_thread(mark.get),
    ]


@truth
async def executor_of_threads(scope):
    return await asyncio.get_running_loop().run_in_executor(None, double, 21)


@truth
async def loop_in_a_thread(scope):
    async def slow_double():
        await asyncio.sleep(0.01)
        return await asyncio.to_thread(double, 21)

    return await asyncio.to_thread(lambda: asyncio.run(slow_double()))


@truth
async def work_in_the_background(scope):
    """The answer comes at once; the thread goes on while the server has nothing else to do."""

    def work():
        began, waited = time.monotonic(), waited_for_a_cpu()
        for _ in range(20):
            time.sleep(0.01)
        worked = time.monotonic() - began - (waited_for_a_cpu() - waited)
        print(f"worked for {worked:.3f} s", flush=True)

    threading.Thread(target=work, daemon=True).start()


@truth
async def wake_from_a_thread(scope):
    """How late, in seconds, a callback runs that another thread hands to an idle loop."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    called, measured = [], threading.Event()

    def wake():
        time.sleep(0.2)
        called[:] = [waited_for_a_cpu(), time.monotonic()]
        loop.call_soon_threadsafe(lambda: woken.set_result(time.monotonic()))
        # What an ended thread has waited is not known any more.
        measured.wait()

    threading.Thread(target=wake).start()
    late = await woken - called[1]
    late -= waited_for_a_cpu() - called[0]
    measured.set()
    return late


# --- tasks and context


@truth
async def task(scope):
    own = asyncio.current_task()
    return {
        "is a Task": isinstance(own, asyncio.Task),
        "in all_tasks": own in asyncio.all_tasks(),
        "loop": type(asyncio.get_running_loop()).__module__,
        "one loop": asyncio.get_event_loop() is asyncio.get_running_loop() is own.get_loop(),
        "cancelling": own.cancelling(),
    }


@truth
async def mark_context(scope):
    before = mark.get()
    mark.set("left by another request")
    return before


@truth
async def open_door(scope):
    door.set()


@truth
async def wait_at_door(scope):
    await asyncio.wait_for(door.wait(), 20)
    return "open"


@truth
async def go_on_after_the_answer(scope):
    async def later():
        await asyncio.sleep(0.1)
        print("the task went on", flush=True)

    left_open.append(asyncio.create_task(later()))


@truth
async def task_group(scope):
    ends = []

    async def wait_for_ever():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def fail():
        raise LookupError("one fails")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_ever())
            group.create_task(fail())
    except* LookupError as failed:
        ends.append(str(failed.exceptions[0]))
    return ends


@truth
async def timeouts(scope):
    ends = []
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        ends.append("timeout")
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except TimeoutError:
        ends.append("wait_for")
    own = asyncio.current_task()
    asyncio.get_running_loop().call_later(0.01, own.cancel, "with a message")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as cancelled:
        own.uncancel()
        ends.append(cancelled.args[0])
    return ends


@truth
async def anyio_works(scope):
    ends = [sniffio.current_async_library()]
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 60)
        with anyio.move_on_after(0.01) as scope_of_cancel:
            await anyio.sleep_forever()
        ends.append(scope_of_cancel.cancelled_caught)
        ends.append(await anyio.to_thread.run_sync(double, 21))
        ends.append(await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(answer)))
        group.cancel_scope.cancel()
    return ends


async def answer():
    await anyio.sleep(0)
    return 42


# --- the event loop


@truth
async def order_of_callbacks(scope):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    ran = []
    # The last one is set first, and far enough from the others for a thread that is kept from running.
    loop.call_later(0.5, lambda: (ran.append("third"), done.set_result(None)))
    loop.call_later(0.01, ran.append, "first")
    loop.call_at(loop.time() + 0.02, ran.append, "second")
    loop.call_later(0.015, ran.append, "never").cancel()
    loop.call_soon(ran.append, "soon")
    loop.call_soon(ran.append, "sooner than the timers")
    await done
    return ran


@truth
async def accuracy_of_timers(scope):
    """How far the loop's clock is off at least, and how late each of some timers is; negative is early."""
    loop = asyncio.get_running_loop()

    async def lateness(delay):
        due, waited = time.monotonic() + delay, waited_for_a_cpu()
        await asyncio.sleep(delay)
        late = time.monotonic() - due
        # Nothing excuses what is early.
        return min(late, max(0.0, late - (waited_for_a_cpu() - waited)))

    drifts = []
    for _ in range(10):
        # Between the two looks at the time, or since the turn began, the thread may have been kept waiting.
        await asyncio.sleep(0)
        drifts.append(abs(loop.time() - time.monotonic()))
    return [min(drifts), await asyncio.gather(*(lateness(n / 100) for n in range(1, 11)))]


@truth
async def readers_and_writers(scope):
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    heard = asyncio.Queue()
    loop.add_reader(theirs, lambda: heard.put_nowait(theirs.recv(100).decode()))
    loop.add_reader(reading, lambda: heard.put_nowait(os.read(reading, 100).decode()))
    loop.add_writer(ours, lambda: (loop.remove_writer(ours), ours.send(b"by socket")))
    said = [await heard.get()]
    os.write(writing, b"by pipe")
    said.append(await heard.get())
    for reader in (theirs, reading):
        loop.remove_reader(reader)
    for descriptor in (reading, writing):
        os.close(descriptor)
    ours.close()
    theirs.close()
    return said


@truth
async def signal_handler_of_the_loop(scope):
    loop = asyncio.get_running_loop()
    fired = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, fired.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(fired.wait(), 20)
    return loop.remove_signal_handler(signal.SIGUSR1)


@truth
async def streams(scope):
    async def shout(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server:
        return await converse(server.sockets[0].getsockname()[1], b"hello\n")


@truth
async def ask_itself(scope):
    request = b"GET /executor_of_threads HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    return (await converse(scope["server"][1], request)).splitlines()[0]


async def converse(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


@truth
async def datagrams(scope):
    loop = asyncio.get_running_loop()
    heard = loop.create_future()

    class Ear(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            heard.set_result(data.decode())

    ear, _ = await loop.create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
    mouth, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=ear.get_extra_info("sockname")
    )
    mouth.sendto(b"a datagram")
    said = await asyncio.wait_for(heard, 20)
    ear.close()
    mouth.close()
    return said


@truth
async def name_lookup(scope):
    found = await asyncio.get_running_loop().getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    return [address[0] for *_, address in found]


@truth
async def failing_callback(scope):
    loop = asyncio.get_running_loop()
    told = loop.create_future()
    loop.set_exception_handler(lambda loop, context: told.set_result(repr(context["exception"])))
    loop.call_soon(lambda: 1 / 0)
    try:
        return await asyncio.wait_for(told, 20)
    finally:
        loop.set_exception_handler(None)


@truth
async def debug_mode(scope):
    time.sleep(0.15)
    return asyncio.get_running_loop().get_debug()


@truth
async def leave_a_generator_open(scope):
    async def generator():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            print("the generator was closed", flush=True)

    left_open.append(generator())
    return await anext(left_open[-1])
