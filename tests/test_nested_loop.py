"""Event loops within event loops: nest_asyncio, which runs a loop's callbacks itself."""

import textwrap
from pathlib import Path

import pytest

from conftest import Start

APP = """
import asyncio
IMPORT
async def inner():
    await asyncio.sleep(0.02)
    return b"nested"
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    loop = asyncio.get_running_loop()
    if scope["path"] == "/body":
        body = loop.run_until_complete(receive())["body"]
    elif scope["path"] == "/plain":
        body = b"plain"
    else:
        APPLY
        body = loop.run_until_complete(inner()) + asyncio.run(inner())
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
IMPORTED = "import nest_asyncio"
WAYS = {
    "applied at import": {"IMPORT": "import nest_asyncio\nnest_asyncio.apply()", "APPLY": "pass"},
    "applied in a request": {"IMPORT": IMPORTED, "APPLY": "nest_asyncio.apply()"},
    "imported in a request": {"IMPORT": "", "APPLY": "import nest_asyncio; nest_asyncio.apply()"},
}


def write(directory: Path, way: str) -> None:
    source = APP
    for word, text in WAYS[way].items():
        source = source.replace(word, text)
    (directory / "nesting.py").write_text(source)


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
@pytest.mark.parametrize("way", ["applied at import", "applied in a request"])
def test_a_loop_runs_within_itself(server: Start, tmp_path: Path, way: str, loop: str) -> None:
    write(tmp_path, way)
    started = server("nesting:app", "--loop", loop, cwd=tmp_path)
    for _ in range(3):
        assert started.get("/").text == "nestednested"
        assert started.get("/plain").text == "plain"
        assert started.post("/body", b"x" * 100_000).status == 200
    assert started.terminate() == 0
    output = started.stderr.wait_for_end()
    assert "enter context" not in output
    assert "Traceback" not in output


def test_other_requests_are_served_within_a_nested_loop(server: Start, tmp_path: Path) -> None:
    """The nested loop waits for something that another request does."""
    source = """
    import asyncio, nest_asyncio
    nest_asyncio.apply()
    told = asyncio.Event()
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if scope["path"] == "/tell":
            told.set()
        else:
            asyncio.get_running_loop().run_until_complete(told.wait())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
    """
    (tmp_path / "telling.py").write_text(textwrap.dedent(source))
    started = server("telling:app", cwd=tmp_path)
    with started.connect() as waiting:
        waiting.send(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        assert started.get("/tell").text == "done"
        assert waiting.read_response().text == "done"


def test_one_that_comes_late_runs_what_is_asyncios(server: Start, tmp_path: Path) -> None:
    write(tmp_path, "imported in a request")
    started = server("nesting:app", cwd=tmp_path)
    for _ in range(3):
        assert started.get("/").text == "nestednested"
        assert started.get("/plain").text == "plain"
    assert started.terminate() == 0
    assert "Traceback" not in started.stderr.wait_for_end()


def test_a_handle_has_what_asyncios_has(server: Start, tmp_path: Path) -> None:
    source = """
    import asyncio
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        loop = asyncio.get_running_loop()
        ran = []
        by_hand, cancelled = loop.call_soon(ran.append, 1), loop.call_soon(ran.append, 2)
        due = by_hand._callback == ran.append and by_hand._args == (1,) and by_hand._loop is loop
        by_hand._run()
        cancelled.cancel()
        await asyncio.sleep(0)
        facts = [due, ran, by_hand._cancelled, by_hand.cancelled(), cancelled._cancelled, by_hand._callback]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": repr(facts).encode()})
    """
    (tmp_path / "handles.py").write_text(textwrap.dedent(source))
    answer = server("handles:app", cwd=tmp_path).get("/").text
    assert answer == "[True, [1], False, False, True, None]"


def test_a_version_that_lacks_a_private_name_is_served_with_asyncios_loop(
    server: Start, tmp_path: Path
) -> None:
    source = """
    import asyncio.base_events
    del asyncio.base_events._format_handle
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})
    """
    (tmp_path / "lacking.py").write_text(textwrap.dedent(source))
    started = server("lacking:app", cwd=tmp_path)
    assert started.get("/").text == "served"
    warning = started.stderr.wait_for_line(r"CPython 3\.\d+ has no (\S+), which --loop auto needs")
    assert warning[1] == "asyncio.base_events._format_handle"
