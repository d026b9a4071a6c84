"""Quart: one route that returns text."""

from quart import Quart

app = Quart(__name__)


@app.get("/")
async def hello() -> str:
    """Return what the bare application returns."""
    return "Hello, world!"
