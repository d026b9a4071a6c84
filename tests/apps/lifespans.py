"""Applications that differ in how they treat lifespan; all of them serve."""

import functools


def application(lifespan):
    @functools.wraps(lifespan)
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": repr(scope.get("state")).encode()})

    return app


@application
async def orderly(scope, receive, send):
    assert await receive() == {"type": "lifespan.startup"}
    print("the application starts", flush=True)
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    print("the application ends", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


@application
async def returns_at_once(scope, receive, send):
    return


@application
async def raises_at_startup(scope, receive, send):
    await receive()
    raise LookupError("no table of contents")


@application
async def fails_at_startup(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "The database is away."})


@application
async def raises_at_shutdown(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise LookupError("no last page")


@application
async def fails_at_shutdown(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "The last page is stuck."})


@application
async def sends_nonsense(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def with_state(scope, receive, send):
    """Each request adds to what it finds, on the top level and below it."""
    if scope["type"] == "lifespan":
        await receive()
        scope["state"].update(name="shared", visits=[])
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("at the end:", sorted(scope["state"]), flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    state = scope["state"]
    found = [sorted(state), len(state["visits"])]
    state["name"] = "overwritten"
    state["added by a request"] = True
    state["visits"].append(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(found).encode()})
