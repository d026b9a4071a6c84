"""An application that does what the test tells it to, step by step, and keeps a journal.

The request names itself in ``x-id`` and carries its part in ``x-script``: a list of steps written as
a Python literal and percent-encoded. Every step adds one entry to the journal of that name.

    ("send", message)       send it; the entry is None, or the error, which then ends the script
    ("try", message)        send it; the entry is None, or the error, and the script goes on
                            (a third item turns the message's body or status into another type)
    ("repeat", times, message)      send it so many times
    ("listen",)             receive until the client has gone, in a task of its own
    ("heard",)              what the listener was told, once it was
    ("receive",)            receive one message, the entry
    ("task", message)       send it, or without a message receive, in a task made of the call itself
    ("read",)               receive until the body is whole, or the client has gone: (body, last type)
    ("drain",)              the same, but: (size of the body, last type)
    ("impatient", seconds)  give up receiving after so long: the message, or "timeout"
    ("fill", size, limit)   send chunks until one is kept waiting for a second: bytes sent before it
    ("settle",)             wait for the chunk that ``fill`` left waiting
    ("wait", name)          wait until the test says ``POST /set/name``
    ("echo",)               send every message back until the client has gone: how it went
    ("hear", count)         receive so many messages: how many came, and what the first was
    ("raise", text)         raise RuntimeError(text); a third item names another exception
    ("return", value)       return it
    ("mark",)               note how much memory the process has
    ("peak",)               how far, in bytes, memory rose above the mark since

The test, on other connections, asks ``GET /journal/id`` (answered when the script has ended),
``GET /reached/id/n`` (answered when n entries are in the journal), or says ``POST /set/name``.
"""

import ast
import asyncio
import builtins
from collections import defaultdict
from http import HTTPStatus
from urllib.parse import unquote

journals = defaultdict(list)
ended = set()
signals = set()
changed = asyncio.Event()


async def app(scope, receive, send):
    if scope["type"] not in ("http", "websocket"):
        raise NotImplementedError(scope["type"])
    headers = dict(scope["headers"])
    if b"x-script" in headers:
        return await play(headers[b"x-id"].decode(), unscript(headers[b"x-script"]), receive, send)
    _, verb, *names = scope["path"].split("/")
    answer = await control(verb, names)
    await send({"type": "http.response.start", "status": 200 if answer is not None else 404, "headers": []})
    await send({"type": "http.response.body", "body": repr(answer).encode()})


def unscript(value):
    return ast.literal_eval(unquote(value.decode("ascii")))


async def control(verb, names):
    if verb == "set":
        tell(signals.add, names[0])
        return names[0]
    if verb == "reached":
        await until(lambda: len(journals[names[0]]) >= int(names[1]))
        return journals[names[0]]
    if verb == "journal":
        await until(lambda: names[0] in ended)
        return journals[names[0]]
    return None


def tell(add, what):
    """Change what the test can ask for, and wake those who asked."""
    global changed
    add(what)
    changed.set()
    changed = asyncio.Event()


async def until(condition):
    while not condition():
        await changed.wait()


async def play(name, script, receive, send):
    journal = journals[name]
    try:
        for step, *arguments in script:
            if step == "return":
                return arguments[0]
            entry, error = await perform(step, arguments, receive, send)
            tell(journal.append, entry)
            if error:
                raise error
    finally:
        tell(ended.add, name)


async def perform(step, arguments, receive, send):
    """The journal's entry, and the error that ends the script."""
    try:
        return await STEPS[step](receive, send, *arguments), None
    except Exception as error:
        return f"{type(error).__name__}: {error}", None if step == "try" else error


async def send_message(receive, send, message, kind=None):
    if kind is not None:
        field, convert = CONVERSIONS[kind]
        message[field] = convert(message[field])
    return await send(message)


async def repeat(receive, send, times, message):
    for _ in range(times):
        await send(message)


async def receive_one(receive, send):
    return await receive()


async def read(receive, send):
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body), message["type"]


async def drain(receive, send):
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size, message["type"]


async def impatient(receive, send, seconds):
    try:
        return await asyncio.wait_for(receive(), seconds)
    except TimeoutError:
        return "timeout"


async def in_task(receive, send, message=None):
    return await asyncio.create_task(receive() if message is None else send(message))


async def listen(receive, send):
    async def until_gone():
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message

    waiting.append(asyncio.ensure_future(until_gone()))


async def fill(receive, send, size, limit, kind="http"):
    chunk = FILLINGS[kind](b"x" * size)
    for sent in range(0, limit, size):
        sending = asyncio.ensure_future(send(chunk))
        done, _ = await asyncio.wait([sending], timeout=1)
        if not done:
            waiting.append(sending)
            return sent
        await sending
    return limit


async def settle(receive, send):
    """What became of the task that an earlier step left waiting."""
    return await waiting.pop()


async def wait(receive, send, name):
    await until(lambda: name in signals)


async def echo(receive, send):
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    return message


async def hear(receive, send, count):
    first = await receive()
    for _ in range(count - 1):
        await receive()
    return count, first


async def raise_error(receive, send, text, kind="RuntimeError"):
    known = {"CancelledError": asyncio.CancelledError}
    raise (known.get(kind) or getattr(builtins, kind))(text)


async def mark(receive, send):
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # the high-water mark of resident memory starts anew
    marks.append(peak())
    return marks[-1]


async def risen(receive, send):
    return peak() - marks[-1]


def peak():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


waiting = []
marks = []
CONVERSIONS = {
    "bytearray": ("body", bytearray),
    "memoryview": ("body", memoryview),
    "bytearray of bytes": ("bytes", bytearray),
    "memoryview of bytes": ("bytes", memoryview),
    "times 65536": ("body", lambda data: data * 65_536),
    "HTTPStatus": ("status", HTTPStatus),
    "tuple": ("headers", tuple),
    "generator": ("headers", iter),
}
FILLINGS = {
    "http": lambda data: {"type": "http.response.body", "body": data, "more_body": True},
    "websocket": lambda data: {"type": "websocket.send", "bytes": data},
}
STEPS = {
    "send": send_message,
    "try": send_message,
    "repeat": repeat,
    "raise": raise_error,
    "task": in_task,
    "listen": listen,
    "heard": settle,
    "receive": receive_one,
    "read": read,
    "drain": drain,
    "impatient": impatient,
    "fill": fill,
    "settle": settle,
    "wait": wait,
    "echo": echo,
    "hear": hear,
    "mark": mark,
    "peak": risen,
}
