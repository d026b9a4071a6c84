"""Answers every request with its scope and the types in it, then spoils the scope for requests that share it.

Never imports asyncio: a server that drives such applications without an event loop is tested too.
"""

kept = []


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    answer = {
        "scope": scope,
        "scope_kind": type(scope).__name__,
        "kinds": {key: type(value).__name__ for key, value in scope.items()},
        "identities": {
            key: id(scope[key]) for key in ("asgi", "headers", "state", "extensions") if key in scope
        },
    }
    if scope["path"] == "/keep":
        kept.append(dict(scope))
    body = repr(answer).encode()
    spoil(scope)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


async def lifespan(scope, receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            scope["state"]["started"] = ["once"]
            await send({"type": "lifespan.startup.complete"})
        else:
            return await send({"type": "lifespan.shutdown.complete"})


def spoil(scope):
    """What an application may do to its own scope, and the next request must not see."""
    scope["asgi"]["version"] = "spoilt"
    scope["state"]["spoilt"] = True
    scope.setdefault("extensions", {})["spoilt"] = {}
    scope["headers"].append((b"spoilt", b"yes"))
    scope["spoilt"] = True
