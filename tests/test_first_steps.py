"""First steps: the output at a first start, and after mistyped command lines."""

import re
import signal
import textwrap
from pathlib import Path

import pytest

from harness import run

APP = """
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    def api(environ, start_response):
        start_response("200 OK", [])
        return [b"there"]

    class Settings:
        def __call__(self):
            return None

    number = 7
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("app.py", "src/web.py", "shop/__init__.py", "shop/asgi.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(APP))
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("app", "app:app"),
        ("shop.asgi", "shop.asgi:app"),
        ("app:application", "app:app"),
        ("app:API", "app:api"),
        ("app.api", "app:api"),
        ("shop", "shop:app"),
    ],
)
def test_what_cannot_be_served_is_answered_with_what_can(server, tree: Path, typed: str, meant: str) -> None:
    ended = run(typed, "--port", "0", cwd=tree)
    assert ended.returncode == 3
    (suggestion,) = re.findall(r"Did you mean: lowmem-serve (.*)", ended.stderr)
    assert suggestion == meant
    assert "Traceback" not in ended.stderr
    *flags, app = suggestion.split()
    assert server(app, *flags, cwd=tree).get("/").status == 200


@pytest.mark.parametrize(
    "typed", ["app.py", "./app.py:app", "src/web.py:app", "./src/web.py:app", "shop/asgi.py"]
)
def test_a_path_is_served_as_its_module(server, tree: Path, typed: str) -> None:
    assert server(typed, cwd=tree).get("/").status == 200


def test_a_missing_attribute_is_answered_with_those_that_can_be_served(tree: Path) -> None:
    ended = run("app:nothing", "--port", "0", cwd=tree)
    assert 'Attribute "nothing" not found in module "app".' in ended.stderr
    assert "It has app, api. Did you mean: lowmem-serve app:app" in ended.stderr


HELPERS = """
    from functools import partial

    from flask import Flask, g, request, url_for
    from quart import Quart
    from starlette.applications import Starlette

    site = Flask(__name__)
    service = Quart(__name__)
    api = Starlette()

    def add(left, right):
        return left + right

    async def store(key, value, seconds):
        return key

    async def by_hand(scope, receive, send):
        pass

    def plain(environ, start_response):
        return []

    bound = partial(store, "key")
"""


def test_what_only_stands_beside_applications_is_not_offered(tmp_path: Path) -> None:
    for framework in ("flask", "quart", "starlette"):
        pytest.importorskip(framework)
    (tmp_path / "app.py").write_text(textwrap.dedent(HELPERS))
    ended = run("app:nothing", "--port", "0", cwd=tmp_path)
    (offered,) = re.findall(r"It has (.*)\. Did you mean", ended.stderr)
    assert offered == "site, service, api, by_hand, plain"


def test_nothing_is_suggested_where_nothing_is_there(tmp_path: Path) -> None:
    ended = run("nowhere.py", "--port", "0", cwd=tmp_path)
    assert ended.returncode == 3
    assert "Did you mean" not in ended.stderr
    assert f"There is no file nowhere.py in {tmp_path}." in ended.stderr


def test_a_package_is_run_by_the_module_that_has_its_application(server, tree: Path) -> None:
    (tree / "shop" / "__init__.py").write_text("")
    (tree / "shop" / "asgi.py").rename(tree / "shop" / "main.py")
    started = server("run", "shop", cwd=tree)
    assert started.get("/").status == 200


def test_alone_it_says_what_is_missing_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("from fastapi import FastAPI\n\nservice = FastAPI(title='x')\n")
    ended = run(cwd=tmp_path)
    assert ended.returncode == 2
    assert "the application is missing" in ended.stderr
    assert "There seems to be one here: lowmem-serve main:service" in ended.stderr


def test_a_misspelt_flag_is_answered_with_the_right_one() -> None:
    ended = run("hello:app", "--wokers", "2")
    assert ended.returncode == 2
    assert "'--workers'" in ended.stderr


def test_the_help_is_grouped_and_fits_a_terminal() -> None:
    ended = run("--help")
    lines = ended.stdout.splitlines()
    headings = [line for line in lines if re.fullmatch(r"[A-Z][A-Za-z0-9 ]+:", line)]
    assert {"Application:", "Listening:", "Workers:", "Recycling:", "HTTP:", "Logging:"} <= set(headings)
    assert max(map(len, lines)) <= 100


def test_the_start_tells_where_with_what_and_how_heavy(server) -> None:
    started = server("hello:app")
    started.stderr.wait_for_line(r"^INFO:     CPython 3\.\d+, loop auto, 1 worker, [\d.]+ MB of its own$")


def test_ctrl_c_twice_ends_what_a_request_holds_up(server, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        textwrap.dedent("""
        import asyncio

        async def app(scope, receive, send):
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            await asyncio.sleep(3600)
        """)
    )
    started = server("slow:app", "--timeout-graceful-shutdown", "600", cwd=tmp_path)
    with started.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        client.read_head()
        started.send_signal(signal.SIGINT)
        started.stderr.wait_for_line("Waiting for connections to close")
        assert started.interrupt_again() == 0
