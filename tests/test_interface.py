"""Which interface an application has is found out without calling it, or asked for."""

import sys
from pathlib import Path
from typing import Any

import pytest

from harness import run

ASGI3 = (
    "asgi3", "plain_asgi3", "asgi3_object", "asgi3_method", "Asgi3Class", "asgi3_partial", "asgi3_async_partial",
    "asgi3_wrapped", "asgi3_wrapped_async", "asgi3_proxy", "asgi3_slotted", "asgi3_slotted_partial",
    "asgi3_slotted_object", "asgi3_static_call",
)  # fmt: skip
WSGI = (
    "wsgi", "wsgi_generator", "wsgi_object", "wsgi_method", "class_method", "static_method", "WsgiClass",
    "wsgi_partial", "wsgi_partial_of_partial", "wsgi_wrapped", "wsgi_wrapped_twice", "wsgi_proxy", "create_app",
    "wsgi_slotted", "wsgi_property", "wsgi_class_call",
)  # fmt: skip
ASGI2 = ("asgi2", "Asgi2Class", "asgi2_wrapped", "asgi2_slotted")
SHAPES = {
    **dict.fromkeys(ASGI3, "asgi 3.0"),
    **dict.fromkeys(WSGI, "wsgi"),
    **dict.fromkeys(ASGI2, "asgi 2.0"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_found_out(server: Any, shape: str) -> None:
    assert server(f"interfaces:{shape}").get("/").text == SHAPES[shape]


@pytest.mark.parametrize(
    ("shape", "flag", "answer"),
    [
        ("opaque_wsgi", "wsgi", "wsgi"),
        ("opaque_asgi3", "asgi3", "asgi 3.0"),
        ("either", "wsgi", "wsgi"),
        ("either", "asgi3", "asgi 3.0"),
        ("asgi2", "asgi2", "asgi 2.0"),
        ("create_app", "wsgi", "wsgi"),
    ],
)
def test_it_can_be_asked_for(server: Any, shape: str, flag: str, answer: str) -> None:
    assert server(f"interfaces:{shape}", "--interface", flag).get("/").text == answer


@pytest.mark.parametrize("name", ["LOWMEM_INTERFACE", "UVICORN_INTERFACE"])
def test_it_can_be_asked_for_in_the_environment(server: Any, name: str) -> None:
    assert server("interfaces:opaque_wsgi", env={name: "wsgi"}).get("/").text == "wsgi"


@pytest.mark.parametrize("shape", ["opaque_wsgi", "either"])
def test_a_doubt_is_an_error_that_names_the_flag(shape: str) -> None:
    finished = run(f"interfaces:{shape}", "--port", "0")
    assert finished.returncode == 3
    assert "Cannot tell which interface the application (of type function) has" in finished.stderr
    assert "--interface asgi3, wsgi or asgi2" in finished.stderr


@pytest.mark.parametrize("interface", ["auto", "asgi3", "wsgi"])
def test_what_cannot_be_called_is_refused_whatever_was_asked_for(tmp_path: Path, interface: str) -> None:
    (tmp_path / "mine.py").write_text("app = None\n")
    finished = run("mine:app", "--port", "0", "--interface", interface, cwd=tmp_path)
    assert finished.returncode == 3
    assert "The application is of type NoneType, which cannot be called." in finished.stderr


@pytest.mark.parametrize(
    ("shape", "flag", "looks_like"),
    [
        ("asgi3", "wsgi", "asgi3"),
        ("asgi3_object", "asgi2", "asgi3"),
        ("wsgi", "asgi3", "wsgi"),
        ("asgi2", "wsgi", "asgi2"),
    ],
)
def test_the_wrong_one_is_refused_and_the_right_one_named(shape: str, flag: str, looks_like: str) -> None:
    finished = run(f"interfaces:{shape}", "--port", "0", "--interface", flag)
    assert finished.returncode == 3
    assert f"cannot be called as --interface {flag} asks for" in finished.stderr
    assert f"It looks like --interface {looks_like}." in finished.stderr


def test_an_unknown_one_is_wrong_usage() -> None:
    finished = run("interfaces:wsgi", "--interface", "cgi")
    assert finished.returncode == 2
    assert "auto, asgi3, asgi2, wsgi" in finished.stderr


def test_no_threads_are_wrong_usage() -> None:
    assert run("interfaces:wsgi", "--wsgi-threads", "0").returncode == 2


def test_a_loop_is_not_needed_for_wsgi(server: Any) -> None:
    serving = server("interfaces:wsgi", "--loop", "asyncio")
    assert "--loop is ignored" in serving.stderr
    assert serving.get("/").text == "wsgi"


SETTINGS = (
    "from django.conf import settings\nsettings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=['*'])\n"
)
DJANGO = (
    SETTINGS + "from django.core.{0} import get_{0}_application as make\nurlpatterns = []\napp = make()\n"
)
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FRAMEWORKS = {
    "flask": FLASK,
    "flask in a middleware": FLASK
    + "from werkzeug.middleware.proxy_fix import ProxyFix\napp = ProxyFix(app)\n",
    "quart": "from quart import Quart\napp = Quart(__name__)\n",
    "fastapi": "from fastapi import FastAPI\napp = FastAPI()\n",
    "starlette": "from starlette.applications import Starlette\napp = Starlette()\n",
    "django wsgi": DJANGO.format("wsgi"),
    "django asgi": DJANGO.format("asgi"),
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_frameworks_are_known_by_their_shape(server: Any, tmp_path: Any, framework: str) -> None:
    (tmp_path / "site_of_mine.py").write_text(FRAMEWORKS[framework])
    serving = server("site_of_mine:app", cwd=tmp_path)
    assert serving.get("/").status == 404
    assert "Exception" not in serving.stderr


def test_finding_out_imports_nothing(server: Any) -> None:
    assert "inspect" not in sys.builtin_module_names
    modules = server("wsgi_modules:app").get("/").json()
    assert not {"inspect", "asyncio", "functools", "threading"} & set(modules)
