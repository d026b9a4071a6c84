"""Uvicorn's loggers without `--log-config`: as under its default configuration, and at no cost for others."""

import textwrap
from pathlib import Path

import pytest

from conftest import Start
from harness import Server

ANSWERS = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["path"] == "/error":
        logging.getLogger("uvicorn.error").info("from the application")
    if scope["path"] == "/parent":
        logging.getLogger("uvicorn").warning("from the application")
    if scope["path"] == "/broken":
        raise RuntimeError("no luck")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


@pytest.fixture
def written(server: Start, tmp_path: Path):
    """Serves an application that does this while it is imported; asks for targets, and returns its output."""

    def run(code: str, *targets: str, flags: tuple[str, ...] = ()) -> Server:
        source = "import logging\n" + textwrap.dedent(code) + ANSWERS
        (tmp_path / "speaking.py").write_text(source)
        started = server("speaking:app", *flags, cwd=tmp_path)
        for target in targets:
            started.get(target)
        assert started.terminate() == 0
        started.stdout.wait_for_end()
        started.stderr.wait_for_end()
        return started

    return run


def test_messages_appear_as_lines_of_the_server(written) -> None:
    said = written("", "/error", "/parent").stderr.text
    assert "INFO:     from the application\n" in said
    assert "WARNING:  from the application\n" in said


def test_a_filter_hides_the_access_lines_that_it_refuses(written) -> None:
    code = """
    class NotHealth(logging.Filter):
        def filter(self, record):
            assert record.args[1] == "GET" and record.args[3] == "1.1" and record.args[4] == 200
            return "/health" not in record.args[2]
    logging.getLogger("uvicorn.access").addFilter(NotHealth())
    """
    said = written(code, "/health", "/page").stdout.text
    assert '"GET /page HTTP/1.1" 200 OK' in said
    assert "/health" not in said


@pytest.mark.parametrize(
    "code",
    [
        "logging.getLogger('uvicorn.access').disabled = True",
        "logging.getLogger('uvicorn.access').setLevel(logging.WARNING)",
        "logging.getLogger('uvicorn.access').handlers.clear()",
        "logging.getLogger('uvicorn.access').removeHandler(logging.getLogger('uvicorn.access').handlers[0])",
        "logging.getLogger('uvicorn.access').handlers[0].setLevel(logging.ERROR)",
    ],
)
def test_access_lines_are_silenced_in_each_way_that_logging_has(written, code: str) -> None:
    started = written(code, "/page")
    assert "/page" not in started.stdout.text
    assert "Finished server process" in started.stderr.text


def test_a_formatter_of_the_applications_is_used(written) -> None:
    code = """
    logging.getLogger("uvicorn.access").handlers[0].setFormatter(logging.Formatter("mine: %(message)s"))
    logging.getLogger("uvicorn").handlers[0].setFormatter(logging.Formatter("own: %(message)s"))
    """
    started = written(code, "/page", "/error")
    assert "mine: 127.0.0.1:" in started.stdout.text
    assert "own: from the application" in started.stderr.text
    assert "own: Finished server process" in started.stderr.text


def test_handlers_of_the_applications_get_records(written, tmp_path: Path) -> None:
    """The recipe by which loguru takes all loggers over."""
    code = f"""
    class Takes(logging.Handler):
        def emit(self, record):
            error = record.exc_info and repr(record.exc_info[1])
            print(record.name, record.levelno, record.getMessage(), error, file=open({str(tmp_path / "taken")!r}, "a"))
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("uvicorn"):
            logging.getLogger(name).handlers = [Takes()]
            logging.getLogger(name).propagate = False
    """
    started = written(code, "/page", "/broken")
    taken = (tmp_path / "taken").read_text()
    assert '"GET /page HTTP/1.1" 200 None' in taken
    assert "uvicorn.error 40 Exception in ASGI application RuntimeError('no luck')" in taken
    assert "uvicorn.error 20 Finished server process" in taken
    assert started.stdout.text == ""


def test_levels_and_flags_go_on_counting(written) -> None:
    touch = "assert logging.getLogger('uvicorn.access').handlers"
    json = written(touch, "/page", "/error", flags=("--log-format", "json"))
    assert '"path": "/page"' in json.stdout.text
    assert '"message": "from the application"' in json.stderr.text
    silent = written("logging.getLogger('uvicorn.access')", "/page", flags=("--no-access-log",))
    assert silent.stdout.text == ""
    template = written(touch, "/page", flags=("--access-log-format", "%(m)s %(U)s %(s)s"))
    assert template.stdout.text.strip() == "GET /page 200"


def test_a_logger_that_is_first_used_in_a_request_works_at_once(written) -> None:
    code = """
    import atexit
    late = logging.Filter()
    late.filter = lambda record: "/hidden" not in record.args
    def hide(): logging.getLogger("uvicorn.access").addFilter(late)
    """
    source = written(code + "hide()\n", "/hidden", "/page").stdout.text
    assert "/hidden" not in source and "/page" in source


@pytest.mark.parametrize("flags", [("--preload",), ("--workers", "2")], ids=" ".join)
def test_every_kind_of_worker_has_them(written, flags: tuple[str, ...]) -> None:
    started = written("logging.getLogger('uvicorn.error').error('at import')", "/parent", flags=flags)
    assert "ERROR:    at import\n" in started.stderr.text
    assert "WARNING:  from the application\n" in started.stderr.text


def test_an_application_that_does_not_ask_pays_nothing(server: Start, tmp_path: Path) -> None:
    source = """
    import logging, sys
    logging.getLogger("mine").warning("said")
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        own = [name for name in sys.modules if name.startswith("lowmem_serve.") and name[-6:] != "._core"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": repr([own, logging.root.handlers]).encode()})
    """
    (tmp_path / "quiet.py").write_text(textwrap.dedent(source))
    assert server("quiet:app", cwd=tmp_path).get("/").text == "[[], []]"
