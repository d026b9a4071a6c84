"""FastAPI: one route that returns JSON through its default response class."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    """Return a small object."""
    return {"message": "Hello, world!"}
