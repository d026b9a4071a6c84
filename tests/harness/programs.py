"""Parts of the applications that tests write into files."""

LIFESPAN = """
async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shutdown runs", flush=True)
    await send({"type": "lifespan.shutdown.complete"})
"""
"""Answers the lifespan protocol, and prints that shutdown runs."""
