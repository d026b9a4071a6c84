"""`lowmem_serve.draining` in the state of the lifespan: an application that is told when draining begins."""

import signal
from pathlib import Path

import pytest

from harness.documented import files
from harness.websocket_client import CLOSE, TEXT, WebSocketClient

PROGRAMS = files("stopping.md")

FUNCTION = """
import sys

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["lowmem_serve.draining"] = lambda: print("told", "asyncio" in sys.modules, flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        print((await receive())["code"], flush=True)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.mark.parametrize("flags", [(), ("--loop", "uvloop"), ("--recycle", "sequential")])
def test_the_program_of_the_documentation_says_goodbye_itself(server, tmp_path: Path, flags) -> None:
    pytest.importorskip("starlette")
    (tmp_path / "draining.py").write_text(PROGRAMS["draining.py"])
    started = server("draining:app", "--app-dir", str(tmp_path), *flags)
    client = WebSocketClient(started.address)
    client.open("/news")
    started.send_signal(signal.SIGHUP)
    frame = client.read_frame()
    assert (frame.opcode, frame.payload) == (TEXT, b"back in a moment")
    frame = client.read_frame()
    assert (frame.opcode, frame.code) == (CLOSE, 1001)
    client.close()
    started.stderr.wait_for_line("Recycled worker")
    assert started.terminate() == 0


def test_a_function_is_called_once_and_nothing_is_imported_for_it(server, tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(FUNCTION)
    started = server("told:app", "--app-dir", str(tmp_path))
    assert started.get("/").status == 200
    client = WebSocketClient(started.address)
    client.open("/")
    assert started.terminate() == 0
    # One that does not end its WebSockets has them closed after half a second.
    assert client.read_frame().code == 1012
    said = started.stdout.wait_for_end().splitlines()
    assert said.count("told False") == 1 and "1012" in said


def test_what_it_raises_is_logged_and_the_worker_ends_in_order(server, tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        FUNCTION.replace('lambda: print("told", "asyncio" in sys.modules, flush=True)', "7")
    )
    started = server("told:app", "--app-dir", str(tmp_path))
    assert started.terminate() == 0
    said = started.stderr.wait_for_end()
    assert 'Exception in the function under "lowmem_serve.draining"' in said
    assert "Application shutdown complete" in said
