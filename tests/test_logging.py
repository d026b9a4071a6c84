"""`--log-config`: existing configurations of Python's logging go on working."""

import json
import sys
import textwrap
from pathlib import Path

import pytest

from harness import run

UVICORNS = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "uvicorn.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s [%(name)s] %(message)s",
        },
        "access": {
            "()": "uvicorn.logging.AccessFormatter",
            "fmt": '%(levelprefix)s "%(request_line)s" -> %(status_code)s',
            "use_colors": False,
        },
    },
    "handlers": {
        "default": {"class": "logging.StreamHandler", "formatter": "default", "stream": "ext://sys.stderr"},
        "access": {"class": "logging.StreamHandler", "formatter": "access", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}

RECORDS = """
    import json, logging

    class Records(logging.Handler):
        def __init__(self, path):
            super().__init__()
            self.file = open(path, "w")

        def emit(self, record):
            error = record.exc_info and repr(record.exc_info[1])
            fields = [record.name, record.levelno, record.getMessage(), record.args, error]
            print(json.dumps(fields), file=self.file, flush=True)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        logging.getLogger("mine").warning("said by the application")
        if scope["path"] == "/broken":
            raise RuntimeError("no luck")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
"""

MODULES = """
    import json, sys

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(list(sys.modules)).encode()})
"""

INI = """
    [loggers]
    keys = root, access
    [handlers]
    keys = console
    [formatters]
    keys = plain, access
    [logger_root]
    level = INFO
    handlers = console
    [logger_access]
    qualname = uvicorn.access
    level = INFO
    propagate = 0
    handlers = console
    [handler_console]
    class = StreamHandler
    formatter = plain
    args = (sys.stderr,)
    [formatter_plain]
    class = uvicorn.logging.DefaultFormatter
    format = %(asctime)s|%(levelprefix)s|%(message)s
    [formatter_access]
    class = uvicorn.logging.AccessFormatter
    format = %(client_addr)s
"""


def written(directory: Path, config: object, name: str = "log.json") -> str:
    path = directory / name
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return str(path)


def test_a_configuration_made_for_uvicorn_writes_as_it_says(server, tmp_path: Path) -> None:
    started = server("hello:app", "--log-config", written(tmp_path, UVICORNS))
    started.get("/a?b=c")
    assert started.terminate() == 0
    assert started.stdout.wait_for_end() == 'INFO:     "GET /a?b=c HTTP/1.1" -> 200 OK'
    errors = started.stderr.wait_for_end()
    assert "INFO:     [uvicorn.error] Application startup complete.\n" in errors
    assert "INFO:     [uvicorn.error] Finished server process" in errors


@pytest.fixture
def recorded(server, tmp_path: Path):
    """A server whose records are written to a file, and the reader of that file."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(RECORDS))
    records = tmp_path / "records"
    handler = {"()": "mine.Records", "path": str(records)}
    config = {"version": 1, "handlers": {"all": handler}, "root": {"handlers": ["all"], "level": "DEBUG"}}
    file = written(tmp_path, config)

    def read() -> list[list]:
        return [json.loads(line) for line in records.read_text().splitlines()]

    return lambda *flags: (server("mine:app", "--log-config", file, *flags, cwd=tmp_path), read)


def test_access_records_carry_what_uvicorns_formatter_expects(recorded) -> None:
    started, read = recorded()
    with started.connect() as client:
        client.get("/a%20b?x=1")
        port = client.socket.getsockname()[1]
    assert started.terminate() == 0
    (access,) = (record for record in read() if record[0] == "uvicorn.access")
    arguments = [f"127.0.0.1:{port}", "GET", "/a%20b?x=1", "1.1", 204]
    assert access[1] == 20
    assert access[2] == f'127.0.0.1:{port} - "GET /a%20b?x=1 HTTP/1.1" 204'
    assert access[3] == arguments
    assert ["mine", 30, "said by the application", [], None] in [[*r[:3], list(r[3]), r[4]] for r in read()]


def test_an_exception_is_in_its_record(recorded) -> None:
    started, read = recorded()
    assert started.get("/broken").status == 500
    assert started.terminate() == 0
    (error,) = (record for record in read() if record[4])
    assert (error[0], error[1], error[2], error[4]) == (
        "uvicorn.error",
        40,
        "Exception in ASGI application",
        "RuntimeError('no luck')",
    )


def test_a_level_that_was_asked_for_wins_over_the_files(server, tmp_path: Path) -> None:
    silent = UVICORNS | {"loggers": {"uvicorn": {"handlers": ["default"], "level": "ERROR"}}}
    config = written(tmp_path, silent)
    quiet = server("hello:app", "--log-config", config)
    loud = server("hello:app", "--log-config", config, "--log-level", "info")
    assert quiet.terminate() == loud.terminate() == 0
    assert "startup complete" not in quiet.stderr.wait_for_end()
    assert "INFO:     [uvicorn.error] Application startup complete." in loud.stderr.wait_for_end()


def test_without_an_access_log_there_are_no_access_records(recorded) -> None:
    started, read = recorded("--no-access-log")
    started.get("/")
    assert started.terminate() == 0
    names = {record[0] for record in read()}
    assert "uvicorn.error" in names and "uvicorn.access" not in names


def test_an_ini_file_is_read_as_file_config_does(server, tmp_path: Path) -> None:
    config = written(tmp_path, textwrap.dedent(INI), "log.ini")
    started = server("hello:app", "--log-config", config)
    started.get("/")
    assert started.terminate() == 0
    errors = started.stderr.wait_for_end()
    assert "|INFO:    |Application startup complete." in errors
    assert '"GET / HTTP/1.1" 200' in errors


def test_a_yaml_file_needs_pyyaml_and_says_so(server, tmp_path: Path) -> None:
    config = written(tmp_path, json.dumps(UVICORNS), "log.yaml")
    (tmp_path / "yaml.py").write_text("raise ImportError('not here')")
    (tmp_path / "mine.py").write_text(textwrap.dedent(RECORDS))
    ended = run("mine:app", "--port", "0", "--log-config", config, cwd=tmp_path)
    assert ended.returncode == 3
    assert f"YAML needs the package PyYAML: {sys.executable} -m pip install PyYAML" in ended.stderr
    assert "Traceback" not in ended.stderr
    (tmp_path / "yaml.py").unlink()
    started = server("mine:app", "--log-config", config, cwd=tmp_path)
    assert "[uvicorn.error] Application startup complete." in started.stderr.text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.json", "{", "not JSON: "),
        ("log.ini", "formatters", "not an INI file: "),
        ("log.json", "[]", "not a mapping"),
        ("log.json", '{"version": 1, "handlers": {"x": {"class": "nowhere.Handler"}}}', "handler 'x'"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_failed_start(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    config = written(tmp_path, text, name)
    ended = run("hello:app", "--port", "0", "--log-config", config)
    assert ended.returncode == 3
    assert f"ERROR:    Cannot use --log-config {config}" in ended.stderr
    assert message in ended.stderr


def test_a_file_that_is_not_there_is_wrong_usage() -> None:
    ended = run("hello:app", "--log-config", "/does/not/exist.json")
    assert ended.returncode == 2
    assert "--log-config: /does/not/exist.json: No such file" in ended.stderr


def test_without_the_flag_logging_is_not_imported(server, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(MODULES))
    assert "logging" not in server("mine:app", cwd=tmp_path).get("/").json()
