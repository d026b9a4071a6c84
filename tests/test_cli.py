"""The command line: what it takes, what it says, and how it ends."""

import json
import os
import re
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import APPS, Server, command_line, run


def fails(*arguments: str, **options) -> object:
    """A start that is expected to end by itself; a free port, in case it should not."""
    return run(*arguments, "--port", "0", **options)


def module(directory: Path, source: str) -> Path:
    (directory / "mine.py").write_text(source)
    return directory


# --- what cannot be served


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("nowhere:app", 'Could not import module "nowhere".'),
        ("mirror:nothing", 'Attribute "nothing" not found in module "mirror".'),
        ("mirror:Namespace.nothing", 'Attribute "Namespace.nothing" not found in module "mirror".'),
        ("mirror", 'Import string "mirror" must be in format "<module>:<attribute>".'),
        ("mirror:", 'Import string "mirror:" must be in format "<module>:<attribute>".'),
        (":app", 'Import string ":app" must be in format "<module>:<attribute>".'),
    ],
)
def test_an_application_that_is_not_there_is_named_and_ends_with_3(app: str, message: str) -> None:
    ended = fails(app)
    assert ended.returncode == 3
    assert f"ERROR:    Error loading ASGI app. {message}" in ended.stderr.splitlines()
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise RuntimeError('no luck today')", "RuntimeError: no luck today"),
        ("import nowhere_else", "ModuleNotFoundError: No module named 'nowhere_else'"),
        ("def app(:", "SyntaxError: "),
    ],
)
def test_an_import_that_raises_shows_its_traceback_and_ends_with_1(
    tmp_path: Path, source: str, error: str
) -> None:
    ended = fails("mine:app", cwd=module(tmp_path, source))
    assert ended.returncode == 1
    assert "Traceback (most recent call last):" in ended.stderr
    assert 'mine.py", line 1' in ended.stderr
    assert error in ended.stderr
    assert ended.stderr.count("Traceback") == 1
    assert "importlib" not in ended.stderr


def test_a_module_that_is_nowhere_is_told_with_the_places_that_were_looked_at(tmp_path: Path) -> None:
    ended = fails("nowhere:app", cwd=tmp_path)
    assert f"Looked in {tmp_path} (--app-dir) and in the Python of " in ended.stderr
    ended = fails("nowhere:app", "--app-dir", "missing", cwd=tmp_path)
    assert f"There is no directory {tmp_path}/missing (--app-dir)." in ended.stderr


def test_an_import_that_raises_ends_all_workers_with_1(tmp_path: Path) -> None:
    ended = fails("mine:app", "--workers", "2", cwd=module(tmp_path, "raise RuntimeError('no luck')"))
    assert ended.returncode == 1


def test_a_factory_that_fails_ends_with_3() -> None:
    ended = fails("mirror:broken_factory", "--factory")
    assert ended.returncode == 3
    assert "ERROR:    Error loading ASGI app factory: the factory wants an argument" in ended.stderr


def test_a_port_in_use_is_said_before_the_application_is_imported(tmp_path: Path) -> None:
    imported = tmp_path / "imported"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("mirror:app", "--port", port, env={"MIRROR_IMPORTED": str(imported)})
    assert ended.returncode == 3
    assert re.search(r"^ERROR:    .*address already in use", ended.stderr, re.IGNORECASE | re.MULTILINE)
    assert port in ended.stderr
    assert not imported.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("mirror:app", "--no-such-flag"),
        ("mirror:app", "--port", "many"),
        ("mirror:app", "--port", "65536"),
        ("mirror:app", "--workers", "0"),
        ("mirror:app", "--workers", "99999999999"),
        ("mirror:app", "--max-head-size", "1"),
        ("mirror:app", "--timeout-keep-alive", "-1"),
        ("mirror:app", "--log-level", "loud"),
        ("mirror:app", "--lifespan", "perhaps"),
        ("mirror:app", "--env-file", "/does/not/exist"),
        ("mirror:app", "--header", "no colon"),
        ("mirror:app", "one argument too many"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert ended.stderr
    assert not ended.stdout


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--workers", "two", "not a whole number, 0 or more"),
        ("--port", "-1", "not a whole number from 0 to 65535"),
        ("--max-requests", "0", "not a whole number, 1 or more"),
        ("--ttl", "3600", "without a unit; write 3600s, 3600m or 3600h"),
        ("--max-rss", "300", "a size like 300M is wanted"),
    ],
)
def test_a_wrong_value_is_answered_with_what_would_be_right(flag: str, value: str, said: str) -> None:
    assert f"invalid value '{value}' for '{flag} <" in (told := run("mirror:app", flag, value).stderr)
    assert said in told


@pytest.mark.parametrize("name", ["UVICORN_PORT", "LOWMEM_PORT"])
def test_a_wrong_value_in_the_environment_is_wrong_usage(name: str) -> None:
    assert run("mirror:app", env={name: "many"}).returncode == 2


def test_a_mistake_among_short_flags_does_not_hide_another() -> None:
    ended = run("mirror:app", "--workers", "0", "--header", "no colon")
    assert "workers" in ended.stderr and "header" in ended.stderr


def test_an_option_of_gunicorn_without_a_counterpart_is_answered_with_the_reason() -> None:
    ended = run("mirror:app", "-w", "4", "--timeout", "60")
    assert ended.returncode == 2
    assert "--timeout 60\n      a worker that is busy is not killed" in ended.stderr
    assert "  -w 4" not in ended.stderr


def test_a_call_as_gunicorn_takes_it_is_answered_with_the_factory_flag() -> None:
    ended = fails("mirror:broken_factory()")
    assert ended.returncode == 3
    assert "Did you mean: lowmem-serve --factory mirror:broken_factory" in ended.stderr


# --- what it says about itself


def test_version_names_the_server_and_its_python() -> None:
    said = run("--version")
    assert said.returncode == 0
    version = re.escape(".".join(map(str, sys.version_info[:3])))
    line = rf"Running lowmem-serve \d+\.\d+\.\d+ with CPython {version}\S* on Linux\n"
    assert re.fullmatch(line, said.stdout)
    more = run("--version", "-v")
    assert more.stdout.startswith(said.stdout)
    assert sys.executable in more.stdout


def test_a_version_without_a_python_is_a_line_too(tmp_path: Path) -> None:
    nowhere = {"LOWMEM_PYTHON": str(tmp_path / "python")}
    said = run("--version", env=nowhere)
    assert re.fullmatch(
        r"lowmem-serve \d+\.\d+\.\d+, without a Python to run \(-v says more\)\n", said.stdout
    )
    assert str(tmp_path / "python") in run("-Vv", env=nowhere).stdout


@pytest.mark.parametrize("asked", ["--version", "man", "config"])
def test_an_answer_that_cannot_be_written_is_no_crash(asked: str) -> None:
    into_a_full_device = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *command_line()]
    ended = run(asked, command=into_a_full_device)
    assert ended.returncode == 3
    assert "error: cannot write to stdout: No space left on device" in ended.stderr


@pytest.mark.parametrize(
    "flag",
    "host port uds workers app-dir factory loop lifespan root-path log-level access-log backlog"
    " timeout-keep-alive timeout-graceful-shutdown limit-concurrency limit-max-requests env-file python version help".split(),
)
def test_help_shows_the_flag(flag: str, help_text: str) -> None:
    assert f"--{flag}" in help_text


@pytest.fixture(scope="module")
def help_text() -> str:
    said = run("--help")
    assert said.returncode == 0
    return said.stdout


# --- where the application is


@pytest.mark.parametrize("app", ["mirror:app", "mirror:Namespace.app"])
def test_an_application_is_found_by_its_import_string(server, app: str) -> None:
    assert server(app).get("/").status == 200


def test_app_dir_is_the_first_place_to_import_from(server, tmp_path: Path) -> None:
    elsewhere = server("mirror:app", "--app-dir", str(APPS), cwd=tmp_path)
    assert os.path.realpath(elsewhere.get("/").json()["path_entries"][0]) == str(APPS)


def test_a_relative_app_dir_starts_at_the_working_directory(server) -> None:
    assert server("mirror:app", "--app-dir", "apps", cwd=APPS.parent).get("/").status == 200


def test_a_factory_is_called(server) -> None:
    assert server("mirror:factory", "--factory").get("/").status == 200


def test_a_factory_is_noticed_where_the_flag_is_missing(server) -> None:
    noticed = server("mirror:factory")
    assert noticed.get("/").status == 200
    assert "WARNING:  ASGI app factory detected." in noticed.stderr.text


def test_the_application_may_be_named_in_the_environment() -> None:
    ended = run("--port", "0", env={"UVICORN_APP": "nowhere:app"})
    assert 'Could not import module "nowhere".' in ended.stderr


# --- flags and variables


def root_path_of(server: Server) -> str:
    return server.get("/").json()["root_path"]


@pytest.mark.parametrize(
    ("flags", "env", "expected"),
    [
        ((), {"UVICORN_ROOT_PATH": "/uvicorn"}, "/uvicorn"),
        ((), {"LOWMEM_ROOT_PATH": "/lowmem"}, "/lowmem"),
        ((), {"UVICORN_ROOT_PATH": "/uvicorn", "LOWMEM_ROOT_PATH": "/lowmem"}, "/lowmem"),
        (("--root-path", "/typed"), {"LOWMEM_ROOT_PATH": "/lowmem"}, "/typed"),
        (("--root-path=/typed",), {}, "/typed"),
        (("--root-path", "/first", "--root-path", "/last"), {}, "/last"),
    ],
)
def test_the_command_line_wins_over_lowmem_over_uvicorn(
    server, flags: tuple[str, ...], env: dict[str, str], expected: str
) -> None:
    assert root_path_of(server("mirror:app", *flags, env=env)) == expected


@pytest.mark.parametrize(
    ("variable", "value", "is_logged"),
    [
        *(("UVICORN_ACCESS_LOG", value, True) for value in ("1", "true", "yes", "on")),
        *(("LOWMEM_ACCESS_LOG", value, False) for value in ("0", "false", "no", "off", "f", "n")),
        ("UVICORN_NO_ACCESS_LOG", "true", True),
    ],
)
def test_booleans_of_the_environment(server, variable: str, value: str, is_logged: bool) -> None:
    started = server("hello:app", env={variable: value})
    started.get("/")
    assert started.terminate() == 0
    assert ("GET /" in started.stdout.wait_for_end()) is is_logged


def test_root_path_goes_before_the_path(server) -> None:
    seen = server("mirror:app", "--root-path", "/below").get("/a%20b").json()
    assert (seen["root_path"], seen["path"], seen["raw_path"]) == ("/below", "/below/a b", "/below/a%20b")


def test_headers_are_added_and_the_servers_own_can_be_dropped(server) -> None:
    flags = ("--header", "X-One: 1", "--header", "x-two:2", "--no-server-header", "--no-date-header")
    response = server("hello:app", *flags).get("/")
    assert (response.header("x-one"), response.header("x-two")) == ("1", "2")
    assert response.header("server") is None and response.header("date") is None


def test_a_header_may_replace_the_servers_name(server) -> None:
    assert server("hello:app", "--header", "server:mine").get("/").header("server") == "mine"


def test_headers_of_the_environment_are_split_at_white_space(server) -> None:
    response = server("hello:app", env={"UVICORN_HEADERS": "x-one:1 x-two:2"}).get("/")
    assert (response.header("x-one"), response.header("x-two")) == ("1", "2")


def test_the_server_names_itself_and_the_date_first(server) -> None:
    names = [name.lower() for name, _ in server("hello:app").get("/").headers]
    assert names[:2] == ["date", "server"]


def test_an_env_file_adds_variables_and_overrides_none(server, tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text(
        "# settings\nFROM_FILE='a b'\nexport EXPORTED=yes\nSET=by the file\nUVICORN_ROOT_PATH=/late\n"
    )
    started = server("mirror:app", "--env-file", str(file), env={"SET": "by the shell"})
    seen = started.get("/").json()
    environ = seen["environ"]
    assert [environ[name] for name in ("FROM_FILE", "EXPORTED", "SET")] == ["a b", "yes", "by the shell"]
    assert seen["root_path"] == ""
    assert f"INFO:     Loading environment from '{file}'" in started.stderr.text


def test_limit_concurrency_refuses_the_request_too_many(server) -> None:
    started = server("mirror:app", "--limit-concurrency", "1")
    with started.connect() as first, started.connect() as second:
        first.send(b"POST /body HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        # The server asks for the body: the request is being served.
        assert first.read_response().status == 100
        refused = second.get("/")
        assert (refused.status, refused.text) == (503, "Service Unavailable")
        first.send(b"ab")
        assert first.read_response().status == 200


# --- where it listens


@pytest.fixture
def uds(server, tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    path = tmp_path / "app.sock"
    yield server("mirror:app", "--uds", str(path)), path


def test_a_unix_socket_serves_every_user_that_may_reach_it(uds: tuple[Server, Path]) -> None:
    started, path = uds
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    seen = started.get("/").json()
    assert (seen["server"], seen["client"]) == ([str(path), None], None)
    assert f"running on unix socket {path} (Press CTRL+C to quit)" in started.stderr.text


@pytest.mark.parametrize("stop", [Server.terminate, Server.interrupt])
def test_a_unix_socket_is_gone_afterwards(uds: tuple[Server, Path], stop) -> None:
    started, path = uds
    assert stop(started) == 0
    assert not path.exists()


def test_a_unix_socket_left_by_a_dead_server_is_replaced(server, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert server("mirror:app", "--uds", str(path)).get("/").status == 200


def test_an_inherited_socket_is_served(server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        number = inherited.fileno()
        started = server("mirror:app", "--fd", str(number), pass_fds=(number,), wait=False)
        started.stderr.wait_for_line("running on socket")
        started.address = inherited.getsockname()
        assert started.get("/").status == 200


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_an_ipv6_address_is_served(server) -> None:
    started = server("mirror:app", "--host", "::1")
    assert started.url.startswith("http://[::1]:")
    assert started.get("/").json()["server"] == ["::1", started.port]


def test_port_0_is_a_free_port_that_is_told(server) -> None:
    first, second = server("mirror:app"), server("mirror:app")
    assert first.port != second.port
    assert first.get("/").json()["server"] == ["127.0.0.1", first.port]


# --- what it logs


def test_an_access_line_is_on_stdout_in_uvicorns_shape(server) -> None:
    started = server("hello:app")
    with started.connect() as client:
        client.get("/a%20b?x=1")
        port = client.socket.getsockname()[1]
    line = started.stdout.wait_for_line("GET").string
    assert line == f'INFO:     127.0.0.1:{port} - "GET /a%20b?x=1 HTTP/1.1" 200 OK'
    assert "GET" not in started.stderr.text


def test_access_lines_can_be_turned_off(server) -> None:
    started = server("hello:app", "--no-access-log")
    started.get("/")
    assert started.terminate() == 0
    assert started.stdout.wait_for_end() == ""


def test_json_logs_are_one_object_a_line(server) -> None:
    started = server("hello:app", "--log-format", "json")
    started.get("/a%20b?x=1")
    assert started.terminate() == 0
    events = [json.loads(line) for line in started.stderr.wait_for_end().splitlines()]
    assert {"time", "level", "message"} <= events[0].keys()
    assert any("running on http://" in event["message"] for event in events)
    (access,) = (json.loads(line) for line in started.stdout.wait_for_end().splitlines())
    expected = {"method": "GET", "path": "/a%20b?x=1", "http_version": "1.1", "status": 200}
    assert access.items() >= expected.items()


def test_colours_are_for_terminals_or_on_demand(server) -> None:
    plain, coloured = server("hello:app"), server("hello:app", "--use-colors")
    assert "\x1b[" not in plain.stderr.text
    assert "\x1b[" in coloured.stderr.text


def test_a_level_hides_what_is_less_severe() -> None:
    ended = fails("lifespans:fails_at_startup", "--log-level", "error")
    assert "ERROR:    The database is away." in ended.stderr
    assert "INFO:" not in ended.stderr
