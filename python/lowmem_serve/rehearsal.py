"""A template's rehearsal: it serves a few requests with empty applications of the frameworks that it has imported.

What a first request writes to is then written before the fork, and shared by all workers: bytecode that is
specialised where it runs, caches of types, methods, patterns and encoders, and modules that the frameworks import when
they are first used. No socket is opened and no thread started; nothing of it stays but that.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

APPLICATIONS = 10
"""CPython 3.11 begins to specialise a function at its eighth call, and what makes an application runs once in each."""

REQUESTS = 10
"""For each of them."""

Application = Callable[..., Any]

SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost"), (b"accept", b"*/*"), (b"user-agent", b"lowmem-serve (rehearsal)")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 1),
}


SERVERS = {"hypercorn", "werkzeug.serving", "uvicorn", "granian", "waitress"}

SECONDS = 10.0
"""A rehearsal that takes longer is none."""


def rehearse() -> None:
    """Serves with each framework that was imported, once a process of its own has shown that it can be done here:
    that it ends, raises nothing, and leaves no thread and no socket behind.
    """
    if SERVERS & sys.modules.keys():
        # Each worker looks whether its application starts one of them.
        from lowmem_serve import inside  # noqa: F401
    imported = [make for module, make in MAKERS.items() if module in sys.modules]
    if imported and _tried(imported):
        for make in imported:
            make()


def _tried(makers: list[Callable[[], None]]) -> bool:
    if not (pid := os.fork()):
        code = 1
        try:
            # Complaints of a framework are not the server's.
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            os.dup2(null, 2)
            code = _try(makers)
        finally:
            os._exit(code)
    until = time.monotonic() + SECONDS
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status == 0
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(0.005)


def _try(makers: list[Callable[[], None]]) -> int:
    files = set(os.listdir("/proc/self/fd"))
    for make in makers:
        make()
    is_alone = len(os.listdir("/proc/self/task")) == 1
    return 0 if is_alone and files >= set(os.listdir("/proc/self/fd")) else 1


def _quart() -> None:
    from quart import Quart

    def make() -> Application:
        app = Quart(__name__, static_folder=None)
        app.config["PROPAGATE_EXCEPTIONS"] = True

        @app.get("/")
        async def index() -> str:
            return "rehearsed"

        return app

    _serve(make)


def _starlette() -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def index(request: Any) -> PlainTextResponse:
        return PlainTextResponse("rehearsed")

    _serve(lambda: Starlette(routes=[Route("/", index)]))


def _fastapi() -> None:
    from fastapi import FastAPI

    def make() -> Application:
        app = FastAPI()

        @app.get("/")
        async def index() -> dict[str, str]:
            return {"rehearsed": "yes"}

        return app

    _serve(make)


def _flask() -> None:
    from io import BytesIO

    from flask import Flask

    environment = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for _ in range(APPLICATIONS):
        app = Flask(__name__, static_folder=None)
        app.config["PROPAGATE_EXCEPTIONS"] = True
        app.add_url_rule("/", "index", lambda: "rehearsed")
        for _ in range(REQUESTS):
            body = app(environment | {"wsgi.input": BytesIO()}, lambda *_: None)
            b"".join(body)
            body.close()


MAKERS: dict[str, Callable[[], None]] = {
    "quart": _quart,
    "starlette.applications": _starlette,
    "fastapi": _fastapi,
    # Quart brings Flask, which serves only where nothing else of it does.
    "flask.app": lambda: None if "quart" in sys.modules else _flask(),
}


def _serve(make: Callable[[], Application]) -> None:
    """Starts and ends each application, with requests in between."""
    import asyncio

    # Not through the policy, which is the application's to choose.
    loop = asyncio.SelectorEventLoop()
    try:
        for _ in range(APPLICATIONS):
            loop.run_until_complete(_live(make()))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _live(app: Application) -> None:
    import asyncio

    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    state: dict[str, Any] = {}
    scope = {"type": "lifespan", "asgi": SCOPE["asgi"], "state": state}
    lifespan = asyncio.ensure_future(app(scope, said.get, heard.put))
    for kind in ("startup", "shutdown"):
        said.put_nowait({"type": f"lifespan.{kind}"})
        await asyncio.wait(
            {lifespan, waits := asyncio.ensure_future(heard.get())}, return_when="FIRST_COMPLETED"
        )
        if not waits.done():
            waits.cancel()
            break
        for _ in range(REQUESTS if kind == "startup" else 0):
            await _request(app, state)
    await lifespan


async def _request(app: Application, state: dict[str, Any]) -> None:
    import asyncio

    answered = asyncio.get_running_loop().create_future()
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(messages, None) or await answered

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set_result({"type": "http.disconnect"})

    await app(SCOPE | {"state": state.copy(), "extensions": {}}, receive, send)
