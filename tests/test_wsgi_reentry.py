"""Code of the application that runs inside a call of the server, and calls the server again: nothing is locked then."""

import json
from pathlib import Path

from conftest import Start
from harness.journal import until


def test_headers_may_call_start_response(server: Start) -> None:
    running = server("wsgi_reentrant:app")
    response = running.get("/headers")
    assert response.header("x-inner") == "1" and response.header("x-outer") is None
    assert response.text == "start_response() was called again without exc_info"
    response = running.get("/headers-with-exc-info")
    assert response.header("x-outer") == "1" and response.header("x-inner") is None


def test_an_error_may_call_start_response_when_it_is_raised_again(server: Start) -> None:
    running = server("wsgi_reentrant:app")
    assert running.get("/late").text == "begun, and raised again"
    until(lambda: "without exc_info" in running.get("/seen").text)


def test_a_log_handler_may_write_to_the_response_that_is_complained_of(server: Start, tmp_path: Path) -> None:
    config = tmp_path / "log.json"
    own = {"class": "wsgi_reentrant.Handler"}
    config.write_text(json.dumps({"version": 1, "handlers": {"own": own}, "root": {"handlers": ["own"]}}))
    running = server("wsgi_reentrant:app", "--log-config", str(config))
    assert running.get("/longer").text == "four"
    until(lambda: "written" in running.get("/seen").text)


def test_a_log_handler_may_import_while_modules_are_compiled_apart(server: Start, tmp_path: Path) -> None:
    """The companion cannot be started, which is logged while the application is imported."""
    (tmp_path / "small.py").write_text("")
    (tmp_path / "large.py").write_text("x = 1\n" * 30_000)
    (tmp_path / "importing.py").write_text(
        "import logging\n"
        "class Handler(logging.Handler):\n"
        "    def emit(self, record):\n"
        "        if 'in a process of their own' in record.getMessage():\n"
        "            import small\n"
    )
    (tmp_path / "app.py").write_text(
        "import sys\n"
        "sys.executable = '/nowhere/python'\n"
        "import large\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str('small' in sys.modules).encode()]\n"
    )
    own = {"class": "importing.Handler"}
    root = {"handlers": ["own"], "level": "DEBUG"}
    config = tmp_path / "log.json"
    config.write_text(json.dumps({"version": 1, "handlers": {"own": own}, "root": root}))
    running = server("app:app", "--log-config", str(config), "--log-level", "debug", cwd=tmp_path)
    assert running.get("/").text == "True"
