"""Flask: one route that returns text."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    """Return what the bare application returns."""
    return "Hello, world!"
