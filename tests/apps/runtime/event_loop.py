"""The event loop itself."""

import asyncio
import os
import signal
import socket
import time

from runtime.truth import left_open, truth, waited_for_a_cpu


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
