"""Files that the application sends by their paths."""

from pathlib import Path

import pytest

from harness.site import LARGE, STYLE


def test_the_application_sends_a_file_by_its_path(server, site: Path) -> None:
    started = server("pathsend:app", "--pathsend")
    response = started.get(f"/?path={site}/large.bin")
    assert response.body == (site / "large.bin").read_bytes()
    assert response.header("content-type") == "application/x-test"
    assert response.header("content-length") == str(LARGE)
    started.stdout.wait_for_line("the file was sent")
    assert started.get(f"/?path={site}/empty.txt").body == b""


def test_pathsend_keeps_the_connection_and_answers_head(server, site: Path) -> None:
    with server("pathsend:app", "--pathsend").connect() as client:
        head = client.request("HEAD", f"/?path={site}/style.css")
        assert head.header("content-length") == str(len(STYLE))
        assert client.get(f"/?path={site}/style.css").body == STYLE


@pytest.mark.parametrize(("name", "error"), [("nothing", b"FileNotFoundError"), ("deep", b"ValueError")])
def test_a_path_that_cannot_be_sent_raises_in_the_application(
    server, site: Path, name: str, error: bytes
) -> None:
    assert server("pathsend:app", "--pathsend").get(f"/?path={site}/{name}").body == error


def test_a_file_longer_than_announced_is_the_applications_error(server, site: Path) -> None:
    started = server("pathsend:app", "--pathsend")
    assert started.get(f"/?path={site}/style.css&length=3").status == 500
    started.stderr.wait_for_line("longer than Content-Length")


def test_starlettes_file_response_uses_it(server, site: Path, tmp_path: Path) -> None:
    (tmp_path / "starlette_files.py").write_text(
        "from starlette.applications import Starlette\n"
        "from starlette.responses import FileResponse\n"
        "from starlette.routing import Route\n"
        f"app = Starlette(routes=[Route('/', lambda request: FileResponse({str(site / 'large.bin')!r}))])\n"
    )
    pytest.importorskip("starlette")
    started = server("starlette_files:app", "--pathsend", cwd=tmp_path)
    response = started.get("/")
    assert response.body == (site / "large.bin").read_bytes()
    assert response.header("etag")


def test_without_the_flag_a_file_passes_middleware_that_reads_bodies(
    server, site: Path, tmp_path: Path
) -> None:
    """What works below Uvicorn works here: frameworks use the extension wherever it is announced."""
    pytest.importorskip("starlette")
    (tmp_path / "counted_files.py").write_text(
        "from starlette.applications import Starlette\n"
        "from starlette.responses import FileResponse\n"
        "from starlette.routing import Route\n"
        f"files = Starlette(routes=[Route('/', lambda request: FileResponse({str(site / 'large.bin')!r}))])\n"
        "async def app(scope, receive, send):\n"
        "    async def counting(message):\n"
        "        if message['type'] != 'http.response.start':\n"
        "            print(len(message['body']), flush=True)\n"
        "        await send(message)\n"
        "    await files(scope, receive, counting if scope['type'] == 'http' else send)\n"
    )
    response = server("counted_files:app", cwd=tmp_path).get("/")
    assert response.body == (site / "large.bin").read_bytes()
