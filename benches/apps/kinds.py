"""Answers of every kind that a count of requests has to tell apart."""


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/raises":
        raise RuntimeError("as asked")
    if path == "/echo":
        more = True
        while more:
            more = (await receive()).get("more_body", False)
    status = 404 if path == "/missing" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    if path == "/stream":
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"three"})
