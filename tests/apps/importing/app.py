"""An application whose imports are known: heavy (20 MB), useful, idle, one that fails, and one that is late."""

import heavy
import idle
import useful

try:
    import broken
except ImportError:
    broken = None


async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/late":
        import late

        late.work()
    if scope["path"] == "/heavy":
        heavy.work()
    body = useful.work(idle.CONSTANT)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})
