"""Echoes without asyncio, until a client's message asks for it."""

import json
import sys


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str("asyncio" in sys.modules).encode()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "use asyncio":
            message["text"] = json.dumps(await use_asyncio(receive))
        await send({**message, "type": "websocket.send"})
    print("disconnected with", message["code"], flush=True)


async def use_asyncio(receive):
    import asyncio

    await asyncio.sleep(0.01)
    task = asyncio.create_task(receive())
    return [asyncio.current_task() is not None, (await asyncio.wait_for(task, 10)).get("text")]
