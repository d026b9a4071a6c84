"""Tasks, their contexts, and what waits for what."""

import asyncio

import anyio
import anyio.from_thread
import anyio.to_thread
import sniffio

from runtime.processes import double
from runtime.truth import left_open, mark, truth

door = asyncio.Event()


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
