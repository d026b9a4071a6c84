"""What is true once asyncio is there: a function for each truth, which returns what it saw."""

import asyncio
import importlib
import inspect
import os
import socket
import sys
import threading

import anyio
import anyio.to_thread
import lazy
import sniffio

door = asyncio.Event()
things = asyncio.Queue()
lock = asyncio.Lock()
left_open = []


async def current_task(scope, receive, send):
    task = asyncio.current_task()
    return [isinstance(task, asyncio.Task), task in asyncio.all_tasks(), task.done(), task.cancelling()]


async def running_loop(scope, receive, send):
    loop = asyncio.get_running_loop()
    same = loop is asyncio.get_event_loop() is asyncio.current_task().get_loop()
    return [same, loop.is_running(), loop.is_closed()]


async def sleep(scope, receive, send):
    loop = asyncio.get_running_loop()
    before = loop.time()
    await asyncio.sleep(0)
    await asyncio.sleep(0.02, "slept")
    return 0.02 <= loop.time() - before < 0.5


async def double(number):
    await asyncio.sleep(0.001)
    return number * 2


async def child_tasks(scope, receive, send):
    child = asyncio.create_task(double(1))
    return [await child, await asyncio.gather(double(2), double(3)), await asyncio.ensure_future(double(4))]


async def task_group(scope, receive, send):
    async def fail():
        await asyncio.sleep(0)
        raise LookupError("one fails")

    async with asyncio.TaskGroup() as group:
        child = group.create_task(double(21))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            group.create_task(fail())
    except ExceptionGroup as errors:
        return [child.result(), str(errors.exceptions[0])]


async def timeouts(scope, receive, send):
    ends = []
    async with asyncio.timeout(30):
        ends.append(await double(1))
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)
    except TimeoutError:
        ends.append("timeout")
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(60)
    except TimeoutError:
        ends.append("no time at all")
    try:
        await asyncio.wait_for(asyncio.sleep(60), 0.01)
    except TimeoutError:
        ends.append("wait_for")
    return ends


async def timeout_first(scope, receive, send):
    """The first thing that is awaited does not end in time."""
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)
    except TimeoutError:
        return "timeout"


async def wait_for_cancels(scope, receive, send):
    ended = []

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    try:
        await asyncio.wait_for(wait(), 0.01)
    except TimeoutError:
        return ended


async def threads(scope, receive, send):
    def where():
        return [threading.current_thread() is not threading.main_thread(), lazy.mark.get()]

    loop = asyncio.get_running_loop()
    return [await asyncio.to_thread(where), await loop.run_in_executor(None, sum, [20, 22])]


async def wait_at_the_door(scope, receive, send):
    waiting = asyncio.create_task(door.wait())
    print("at the door", flush=True)
    await waiting
    return "open"


async def take_a_thing(scope, receive, send):
    async with lock:
        print("waits for a thing", flush=True)
        return await things.get()


async def bring(scope, receive, send):
    was_locked = lock.locked()
    door.set()
    things.put_nowait("a thing")
    async with lock:
        return was_locked


async def callbacks(scope, receive, send):
    loop = asyncio.get_running_loop()
    ran, done = [], loop.create_future()
    loop.call_later(0.02, lambda: (ran.append("third"), done.set_result(None)))
    loop.call_later(0.01, ran.append, "second")
    loop.call_soon(ran.append, "first")
    loop.call_soon_threadsafe(ran.append, "from nearby")
    loop.call_soon(ran.append, "never").cancel()
    await done
    return ran


async def reader(scope, receive, send):
    ours, theirs = socket.socketpair()
    heard = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(theirs, lambda: heard.set_result(theirs.recv(100).decode()))
    ours.send(b"hello")
    try:
        return await heard
    finally:
        asyncio.get_running_loop().remove_reader(theirs)
        ours.close()
        theirs.close()


async def streams(scope, receive, send):
    async def shout(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async with await asyncio.start_server(shout, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        heard = await reader.read()
        writer.close()
        await writer.wait_closed()
    return heard.decode()


async def subprocess(scope, receive, send):
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec("tr", "a-z", "A-Z", stdin=pipe, stdout=pipe)
    heard, _ = await child.communicate(b"hello")
    return [heard.decode(), child.returncode]


async def cancel_itself(scope, receive, send):
    task = asyncio.current_task()
    task.cancel("a message")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError as cancelled:
        return [cancelled.args, task.uncancel()]


async def cancel_itself_while_a_child_is_awaited(scope, receive, send):
    """The cancellation reaches the task that is awaited."""
    seen = []

    async def wait():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("the child")
            raise

    child = asyncio.create_task(wait())
    asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
    try:
        await child
    except asyncio.CancelledError:
        return [*seen, asyncio.current_task().uncancel()]


async def cancel_itself_and_then_await_a_child(scope, receive, send):
    """The request to cancel comes first, and reaches what is awaited next."""
    child = asyncio.create_task(asyncio.Event().wait())
    asyncio.current_task().cancel()
    try:
        await child
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
    await asyncio.sleep(0)
    return child.cancelled()


async def cancel_itself_and_return(scope, receive, send):
    answer = b"answered"
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
    asyncio.current_task().add_done_callback(lambda task: print("ended:", describe(task), flush=True))
    asyncio.current_task().cancel()


def describe(task):
    return "cancelled" if task.cancelled() else repr(task.exception())


async def shield(scope, receive, send):
    inner = asyncio.create_task(double(21))
    try:
        async with asyncio.timeout(0):
            await asyncio.shield(inner)
    except TimeoutError:
        return [inner.done(), await inner]


async def leave_a_generator_open(scope, receive, send):
    async def generator():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0.01)
            print("the generator was closed", flush=True)

    left_open.append(generator())
    return await anext(left_open[-1])


async def context(scope, receive, send):
    seen = [lazy.mark.get()]
    await asyncio.sleep(0)
    seen.append(lazy.mark.get())
    lazy.mark.set("set after")
    await asyncio.sleep(0.001)
    return [*seen, lazy.mark.get()]


async def anyio_works(scope, receive, send):
    ends = [sniffio.current_async_library()]
    await anyio.sleep(0.001)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 60)
        with anyio.move_on_after(0.01) as late:
            await anyio.sleep_forever()
        ends.append(late.cancelled_caught)
        ends.append(await anyio.to_thread.run_sync(sum, [20, 22]))
        group.cancel_scope.cancel()
    return ends


async def anyio_cancels_first(scope, receive, send):
    with anyio.move_on_after(0.01) as late:
        await anyio.sleep_forever()
    return late.cancelled_caught


async def anyio_scope_of_this_task_cancelled_by_another(scope, receive, send):
    task = asyncio.current_task()
    with anyio.CancelScope() as here:
        asyncio.get_running_loop().call_later(0.01, here.cancel)
        await anyio.sleep_forever()
    return [here.cancelled_caught, task.cancelling()]


async def receive_in_a_task(scope, receive, send):
    task = asyncio.create_task(receive())
    print("receives in a task", flush=True)
    message = await asyncio.wait_for(task, 5)
    return message["body"].decode()


async def receive_that_is_given_up(scope, receive, send):
    """Starlette's is_disconnected, and what it cancels loses nothing."""
    if lazy.place != "after receive()":
        await receive()
    for _ in range(50):
        with anyio.move_on_after(0):
            await receive()
    waiting = asyncio.create_task(receive())
    await asyncio.sleep(0.001)
    return [waiting.done(), waiting.cancel()]


async def disconnect(scope, receive, send):
    while (await receive())["type"] != "http.disconnect":
        print("listens", flush=True)
    print("disconnected in", type(asyncio.current_task()).__name__, flush=True)


async def fail(scope, receive, send):
    await asyncio.sleep(0)
    raise LookupError("after the import")


async def fail_at_once(scope, receive, send):
    raise LookupError("in the step of the import")


async def never_end(scope, receive, send):
    try:
        print("waits forever", flush=True)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("cleaned up after", sys.exc_info()[0].__name__, flush=True)


async def import_machinery(scope, receive, send):
    return {
        "finders": [
            repr(finder)
            for finder in sys.meta_path
            if "lowmem" in repr(finder) and "PackageFinder" not in repr(finder)
        ],
        "loaders": [type(asyncio.__spec__.loader).__name__, type(asyncio.__loader__).__name__],
        "source": "asyncio package" in inspect.getsource(asyncio),
        "reloaded": importlib.reload(asyncio) is asyncio,
        "current": asyncio.current_task() is not None,
    }


async def loop_in_a_thread(scope, receive, send):
    """Another loop in a thread disturbs nothing, though the worker waits for it."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(asyncio.run(double(21))))
    thread.start()
    thread.join()
    answers.append(await asyncio.to_thread(lambda: asyncio.run(double(1))))
    answers.append(asyncio.get_running_loop() is asyncio.current_task().get_loop())
    return answers


async def policy(scope, receive, send):
    policy = asyncio.get_event_loop_policy()
    return [type(policy) is asyncio.DefaultEventLoopPolicy, "uvloop" in sys.modules]


async def describe_itself(scope, receive, send):
    """What debuggers and tracers ask of a task."""
    task = asyncio.current_task()
    coroutine = task.get_coro()
    return {
        "repr": "app() running at " in repr(task),
        "is a coroutine": asyncio.iscoroutine(coroutine),
        "state": inspect.getcoroutinestate(coroutine),
        "stack": "app" in [frame.f_code.co_name for frame in task.get_stack()],
        "name": getattr(coroutine, "__qualname__", None),
    }


async def debug_mode(scope, receive, send):
    child = asyncio.create_task(double(21))
    return [asyncio.get_running_loop().get_debug(), await child, await asyncio.wait_for(double(1), 1)]


async def descriptors(scope, receive, send):
    await asyncio.sleep(0)
    return len(os.listdir("/proc/self/fd")) < 30
