"""A Quart application with a view that forgets that it is in an event loop."""

import time

from quart import Quart

app = Quart(__name__)


@app.get("/")
async def here():
    return "here"


@app.get("/sleep")
async def forgetful_view():
    time.sleep(60)
    return "slept"
