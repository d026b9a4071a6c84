"""Starlette: a page, JSON, a form, an upload, a stream, server-sent events, a WebSocket, lifespan state."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


class State(TypedDict):
    started_at: str


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    yield {"started_at": datetime.now(UTC).isoformat()}


async def index(request: Request) -> Response:
    return HTMLResponse(
        "<!doctype html><title>Starlette</title><h1>Starlette</h1>"
        '<form method="post" action="/greet"><input name="name" value="you"><button>Greet</button></form>'
    )


async def status(request: Request) -> Response:
    return JSONResponse({"framework": "starlette", "started_at": request.state.started_at})


async def greet(request: Request) -> Response:
    form = await request.form()
    return JSONResponse({"greeting": f"Hello, {form['name']}!"})


async def upload(request: Request) -> Response:
    """The body goes by in pieces: a file of any size costs no memory."""
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return JSONResponse({"bytes": size, "sha256": digest.hexdigest()})


async def count(request: Request) -> Response:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(numbers(), media_type="text/plain")


async def events(request: Request) -> Response:
    async def ticks() -> AsyncIterator[str]:
        for number in range(3):
            yield f"id: {number}\ndata: {datetime.now(UTC).isoformat()}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(ticks(), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", index),
        Route("/status", status),
        Route("/greet", greet, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/count", count),
        Route("/events", events),
        WebSocketRoute("/echo", echo),
    ],
)
