"""A page that streams, listens and converses, and tells each step, which is printed."""

import asyncio
import os

PAGE = b"""<!doctype html>
<title>under test</title>
<script>
const told = [];
// One after the other; a worker that is just being replaced may cost an attempt.
let telling = Promise.resolve();
function tell(text) {
  telling = telling.then(async () => {
    for (;;) {
      try { if ((await fetch("/told", {method: "POST", body: text})).ok) return; } catch {}
    }
  });
  return telling;
}

async function stream() {
  const reader = (await fetch("/stream")).body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return tell("stream ended");
    // The server sends no further piece before it has heard of this one.
    await tell("piece " + decoder.decode(value));
  }
}

function listen() {
  const events = new EventSource("/events");
  events.onmessage = event => tell("event from " + event.data);
  events.onerror = () => tell("events interrupted");
}

function converse() {
  const socket = new WebSocket(location.href.replace("http", "ws") + "socket");
  socket.onopen = () => socket.send("hello");
  socket.onmessage = event => tell("echo " + event.data);
  socket.onclose = event => { tell("closed " + event.code); converse(); };
}

tell("page over " + performance.getEntriesByType("navigation")[0].nextHopProtocol);
stream();
listen();
converse();
</script>
"""

PIECES = 3
heard = asyncio.Event()


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        return await converse(receive, send)
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    match scope["path"]:
        case "/":
            await respond(send, b"text/html", PAGE)
        case "/told":
            text = (await receive())["body"].decode()
            print(text, flush=True)
            if text.startswith("piece "):
                heard.set()
            await respond(send, b"text/plain", b"thanks")
        case "/stream":
            await stream(send)
        case "/events":
            await events(receive, send)
        case _:
            await respond(send, b"text/plain", b"", 404)


async def respond(send, kind, body, status=200):
    await start(send, kind, status)
    await send({"type": "http.response.body", "body": body})


async def start(send, kind, status=200):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})


async def stream(send):
    await start(send, b"application/octet-stream")
    for number in range(1, PIECES + 1):
        heard.clear()
        await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
        await heard.wait()
    await send({"type": "http.response.body"})


async def events(receive, send):
    """Says who it is, and then nothing more until the client or the worker goes."""
    await start(send, b"text/event-stream")
    who = b"retry: 50\ndata: %d\n\n" % os.getpid()
    await send({"type": "http.response.body", "body": who, "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def converse(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{message['text']} from {os.getpid()}"})
