"""Flask over WSGI: a page with a form, JSON, an upload that is hashed as it arrives, and a stream.

    lowmem-serve app:app --app-dir examples/flask_app

Views run on threads that start when they are needed (--wsgi-threads) and end when they are idle.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, flash, redirect, render_template, request, url_for

app = Flask(__name__)
# Sessions end with the process; a real application is given its key.
app.secret_key = secrets.token_bytes(32)

wishes: list[str] = []
lock = threading.Lock()


@app.get("/")
def index() -> str:
    return render_template("wishes.html", wishes=wishes)


@app.post("/wishes")
def wish() -> Any:
    """The form of the page."""
    text = request.form.get("text", "").strip()
    if not text:
        abort(400, "A wish needs words.")
    with lock:
        wishes.append(text)
    flash(f"“{text}” is on the list.")
    return redirect(url_for("index"), 303)


@app.get("/wishes.json")
def as_json() -> dict[str, Any]:
    return {"wishes": wishes}


@app.post("/upload")
def upload() -> dict[str, Any]:
    """The body is read in pieces: no more than one of them is in memory."""
    digest, size = hashlib.sha256(), 0
    while piece := request.stream.read(64 * 1024):
        digest.update(piece)
        size += len(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}


@app.get("/countdown")
def countdown() -> Response:
    def numbers() -> Iterator[str]:
        for number in (3, 2, 1):
            yield f"{number}\n"
            time.sleep(0.1)
        yield "lift-off\n"

    return Response(numbers(), mimetype="text/plain")
