"""Threads beside the loop's own."""

import asyncio
import threading
import time

from runtime.processes import double
from runtime.truth import mark, truth, waited_for_a_cpu


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
