"""A bare ASGI WebSocket echo; over HTTP it says hello, so that readiness can be asked."""

from hello import app as hello


async def app(scope, receive, send):
    """Accept, then echo each message until the client leaves."""
    if scope["type"] != "websocket":
        await hello(scope, receive, send)
        return
    while True:
        message = await receive()
        match message["type"]:
            case "websocket.connect":
                await send({"type": "websocket.accept"})
            case "websocket.receive":
                text = message.get("text")
                reply = {"text": text} if text is not None else {"bytes": message["bytes"]}
                await send({"type": "websocket.send", **reply})
            case _:
                return
