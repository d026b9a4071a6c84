"""Never imports asyncio by itself: a route for each way in which a coroutine waits, ends or fails."""

import contextvars
import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
import types

mark = contextvars.ContextVar("mark", default="unset")
flags = set()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        signal.signal(signal.SIGUSR2, lambda number, frame: use_asyncio("by a signal handler"))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    route = globals()[scope["path"][1:]]
    if (answer := await route(scope, receive, send)) is not None:
        answer = json.dumps(answer).encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def use_asyncio(how):
    import asyncio

    print("asyncio was imported", how, asyncio.get_event_loop_policy() is not None, flush=True)


async def is_imported(scope, receive, send):
    return "asyncio" in sys.modules


async def import_it(scope, receive, send):
    importlib.import_module("asyncio")
    return True


async def import_it_in_a_thread_later(scope, receive, send):
    """After this request: while the worker is idle."""

    def wait_and_import():
        os.read(int(os.environ["LAZY_SIGNAL"]), 1)
        importlib.import_module("asyncio")
        print("imported in a thread", flush=True)

    threading.Thread(target=wait_and_import, daemon=True).start()
    return True


async def import_and_fail(scope, receive, send):
    import_module = importlib.import_module("asyncio")
    raise LookupError(f"in the step that imported {import_module.__name__}")


async def look_for_it_and_then_use_it(scope, receive, send):
    found = importlib.util.find_spec("asyncio")
    return [found.name, hasattr(found.loader, "get_source"), await is_a_task(scope, receive, send)]


async def is_a_task(scope, receive, send):
    import asyncio

    await asyncio.sleep(0.01)
    return isinstance(asyncio.current_task(), asyncio.Task)


async def use_anyio(scope, receive, send):
    import anyio

    with anyio.move_on_after(0.01) as late:
        await anyio.sleep_forever()
    return late.cancelled_caught


async def use_sniffio(scope, receive, send):
    import sniffio

    return sniffio.current_async_library()


async def use_contextmanagers(scope, receive, send):
    """`receive()` within other people's generators."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def received():
        message = await receive()
        yield message["type"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"12")]})

    async with received() as kind:
        body = kind.encode()
    await send({"type": "http.response.body", "body": body})


# --- waiting


async def listen(scope, receive, send):
    """What follows a wait in `receive()`."""
    print("listens", flush=True)
    received = await receive()
    return [received["body"].decode(), await is_a_task(scope, receive, send)]


async def stream(scope, receive, send):
    """More than the client takes at once; what follows a wait in `send()`."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    print("sends", flush=True)
    for _ in range(100):
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
    if b"import" in scope["query_string"] or "asyncio" in sys.modules:
        end = json.dumps(await is_a_task(scope, receive, send)).encode()
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"y" * 100_000, "more_body": True})
    else:
        end = b"never"
    await send({"type": "http.response.body", "body": end})


async def wait_for_the_end(scope, receive, send):
    while (await receive())["type"] != "http.disconnect":
        print("listens", flush=True)
    print("disconnected, asyncio" if "asyncio" in sys.modules else "disconnected", flush=True)


async def never_end(scope, receive, send):
    token = mark.set("set")
    try:
        async for message in messages(receive):
            print("was told:", message["type"], flush=True)
            if message["type"] == "http.disconnect":
                break
    finally:
        print("in the context of the request:", mark.get(), flush=True)
        mark.reset(token)
        print("cleaned up after", sys.exc_info()[0], flush=True)


async def messages(receive):
    try:
        while True:
            yield await receive()
    finally:
        print("the generator was closed", flush=True)


async def mark_context(scope, receive, send):
    found = mark.get()
    mark.set("leaked")
    return found


def marks_before_it_awaits(scope, receive, send):
    """Not a coroutine function itself."""
    if scope["type"] == "lifespan":
        return app(scope, receive, send)
    found = mark.get()
    mark.set("leaked")

    async def tell(*arguments):
        return found

    globals()["told"] = tell
    return app({**scope, "path": "/told"}, receive, send)


# --- yielding


@types.coroutine
def give(something=None):
    return (yield something)


async def yield_none(scope, receive, send):
    return [await give(), await give()]


async def yield_an_object(scope, receive, send):
    try:
        await give("an object")
    finally:
        print("the coroutine was closed", flush=True)


async def spin_until_flag(scope, receive, send):
    print("spins", flush=True)
    while "flag" not in flags:
        await give()
    return True


async def set_flag(scope, receive, send):
    flags.add("flag")
    return True


# --- ending


async def fail(scope, receive, send):
    raise LookupError("nothing here")


async def fail_later(scope, receive, send):
    await receive()
    raise LookupError("nothing here either")


async def leave(scope, receive, send):
    sys.exit(7)


async def leave_later(scope, receive, send):
    print("listens", flush=True)
    await receive()
    sys.exit(7)


async def import_and_leave(scope, receive, send):
    importlib.import_module("asyncio")
    sys.exit(7)


async def return_a_value(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


async def returns_something(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    if b"import" in scope["query_string"]:
        importlib.import_module("asyncio")
    await return_a_value(scope, receive, send)
    return ("a", "tuple")


async def wait_for_body(scope, receive, send):
    return (await receive())["body"].decode()
