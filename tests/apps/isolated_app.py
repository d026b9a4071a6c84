"""Applications that call a function in a process of its own: ASGI's waits for it, WSGI's thread does."""

from urllib.parse import parse_qsl

import isolated_functions as functions

from lowmem_serve import isolated


def numbers(query: str) -> dict[str, int]:
    return {name: int(value) for name, value in parse_qsl(query)}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/concurrent":
        value = isolated.concurrent()
    else:
        value = await isolated(functions.add, **numbers(scope["query_string"].decode()), timeout=30)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(value).encode()})


def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        value = isolated.sync(functions.sleep, 60)
    else:
        value = isolated.sync(functions.add, **numbers(environ["QUERY_STRING"]), timeout=30)
    start_response("200 OK", [])
    return [str(value).encode()]
