"""An application that hangs when it is asked to: in Python, or in C with the interpreter's lock held."""

import ctypes


def spin():
    while True:
        pass


def hold():
    # PyDLL, unlike CDLL, does not let the lock go.
    ctypes.PyDLL(None).sleep(600)


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/spin":
        spin()
    if scope["path"] == "/hold":
        hold()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"here"})
