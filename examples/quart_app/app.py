"""A guest book: pages, JSON, a form, uploads, streams, live events, a report, and SQLite, in Quart.

    lowmem-serve app:app --app-dir examples/quart_app

The database is QUART_DB, or guestbook.sqlite3 in the system's directory for temporary files.
"""

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from events import Audience
from quart import Quart, Response, abort, redirect, render_template, request, url_for
from report import draw
from store import Note, Store

from lowmem_serve import isolated

DATABASE = os.environ.get("QUART_DB", str(Path(tempfile.gettempdir()) / "guestbook.sqlite3"))
LARGEST_UPLOAD = 1024 * 1024 * 1024

app = Quart(__name__)
# Quart's own limit of 16 MB guards bodies that are kept in memory; the upload below keeps none of it.
app.config["MAX_CONTENT_LENGTH"] = LARGEST_UPLOAD
app.config["BODY_TIMEOUT"] = None

store = Store(DATABASE)
audience = Audience()


@app.while_serving
async def lifespan() -> AsyncIterator[None]:
    async with store:
        yield


@app.get("/")
async def guest_book() -> str:
    return await render_template("guestbook.html", notes=await store.latest(50))


@app.get("/upload")
async def upload_page() -> str:
    return await render_template("upload.html")


@app.get("/live")
async def live_page() -> str:
    return await render_template("live.html")


@app.post("/notes")
async def sign() -> Any:
    """The form of the page."""
    form = await request.form
    await write(form.get("author", ""), form.get("text", ""))
    return redirect(url_for("guest_book"), 303)


@app.get("/api/notes")
async def read_notes() -> dict[str, Any]:
    return {"notes": [note.as_json() for note in await store.latest(50)]}


@app.get("/api/notes/<int:number>")
async def read_note(number: int) -> dict[str, Any]:
    note = await store.find(number)
    if note is None:
        abort(404, "There is no such note.")
    return note.as_json()


@app.post("/api/notes")
async def add_note() -> tuple[dict[str, Any], int]:
    said = await request.get_json()
    note = await write(said.get("author", ""), said.get("text", ""))
    return note.as_json(), 201


@app.get("/notes/<int:number>")
async def note_page(number: int) -> str:
    """A note as a page. Its Markdown is rendered once; the result is in a cache on disk (pages.py)."""
    from pages import rendered

    note = await store.find(number)
    if note is None:
        abort(404, "There is no such note.")
    return await render_template("note.html", note=note, text=rendered(note.text))


@app.delete("/api/notes/<int:number>")
async def delete_note(number: int) -> tuple[str, int]:
    if not await store.delete(number):
        abort(404, "There is no such note.")
    return "", 204


@app.post("/api/upload")
async def upload() -> dict[str, Any]:
    """Counts and hashes the body as it comes in. None of it is kept, so its size costs no memory."""
    digest, size, pieces = hashlib.sha256(), 0, 0
    async for piece in request.body:
        digest.update(piece)
        size += len(piece)
        pieces += 1
    return {"bytes": size, "sha256": digest.hexdigest(), "pieces": pieces}


@app.get("/export.csv")
async def export() -> Response:
    """The whole table, a row at a time."""

    async def rows() -> AsyncIterator[str]:
        yield "number,written_at,author,text\r\n"
        async for note in store.all():
            yield note.as_csv()

    return Response(rows(), content_type="text/csv; charset=utf-8")


@app.get("/report.png")
async def report() -> Response:
    """Drawn in a process of its own, whose imports and memory end with it."""
    drawn = await isolated(draw, DATABASE, timeout=60, max_memory="500M")
    return Response(drawn, content_type="image/png")


@app.get("/statistics")
async def statistics() -> dict[str, Any]:
    """What the nightly job has counted (statistics_job.py)."""
    return {"days": await store.days()}


@app.get("/countdown/<int:start>")
async def countdown(start: int) -> Response:
    """A stream whose pieces are made while it is being sent."""

    async def numbers() -> AsyncIterator[str]:
        for number in range(min(start, 100), 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0.1)
        yield "lift-off\n"

    return Response(numbers(), content_type="text/plain; charset=utf-8")


@app.get("/events")
async def events() -> Response:
    """Each new note, as it is written, to all listeners (server-sent events)."""

    async def stream() -> AsyncIterator[str]:
        with audience.listen() as heard:
            yield "event: welcome\ndata: {}\n\n"
            async for number, data in heard:
                yield f"id: {number}\nevent: note\ndata: {data}\n\n"

    response = Response(stream(), content_type="text/event-stream", headers={"cache-control": "no-store"})
    response.timeout = None
    return response


@app.get("/health")
async def health() -> dict[str, Any]:
    return {"status": "ok", "notes": await store.count()}


async def write(author: str, text: str) -> Note:
    if not (author.strip() and text.strip()):
        abort(400, "A note has an author and a text.")
    note = await store.add(author.strip()[:80], text.strip()[:2000])
    audience.tell(note.number, json.dumps(note.as_json()))
    return note
