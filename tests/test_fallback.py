"""`lowmem-serve` on systems that the server does not run on: Uvicorn, with the flags translated."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import click
import pytest

from harness import APPS, Lines, command_line
from harness.server import REPOSITORY

RUNNING_ON = r"running on (http://\S+)"


@pytest.fixture(autouse=True)
def this_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "python"))
    for name in list(os.environ):
        if name.startswith(("LOWMEM_", "UVICORN_")):
            monkeypatch.delenv(name)


def uvicorns() -> click.Command:
    return import_module("uvicorn.main").main


def known() -> set[str]:
    return {name for parameter in uvicorns().params for name in (*parameter.opts, *parameter.secondary_opts)}


def translation(*typed: str, directory: Path = Path("/"), **variables: str) -> tuple[list[str], list[str]]:
    from lowmem_serve.fallback import translated
    from lowmem_serve.fallback.settings import gather

    return translated(gather([*typed], variables, directory).values, known())


def fallback(*arguments: str, cwd: Path = APPS, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "from lowmem_serve.fallback import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "python"), **(env or {})},
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def ended(*arguments: str, **options: object) -> tuple[int, str]:
    process = fallback(*arguments, **options)
    _, stderr = process.communicate(timeout=120)
    return process.returncode, stderr.decode()


# --- the table


def flags_of_the_server() -> list[str]:
    text = subprocess.run([*command_line(), "--help"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^ +(?:-\w, )?--([a-z0-9-]+)", text, re.MULTILINE)
    return sorted({*names} - {"help", "version", "verbose", "config"})


def test_every_flag_of_the_server_is_in_the_table() -> None:
    from lowmem_serve.fallback.flags import FLAGS

    missing = [name for name in flags_of_the_server() if name not in FLAGS]
    # python/lowmem_serve/fallback/flags.py: does Uvicorn have it, or is it without effect there?
    assert missing == []


def test_every_command_of_the_server_is_known_to_be_one() -> None:
    from lowmem_serve.fallback.flags import COMMANDS
    from lowmem_serve.fallback.settings import SERVING

    text = subprocess.run([*command_line(), "--help"], capture_output=True, text=True, check=True).stdout
    section = text.partition("Commands:\n")[2].partition("\n\n")[0]
    assert {*re.findall(r"^  ([a-z]+) ", section, re.MULTILINE)} <= COMMANDS | SERVING.keys()


VALUES = {
    "app-dir": ".",
    "bind": "127.0.0.1:0",
    "env-file": "/dev/null",
    "header": "a:b",
    "host": "::1",
    "interface": "asgi3",
    "lifespan": "off",
    "log-config": "/dev/null",
    "log-level": "debug",
    "reload-dir": ".",
    "ssl-cert-reqs": "required",
    "timeout-graceful-shutdown": "1.5",
    "timeout-keep-alive": "0.5",
    "ws-per-message-deflate": "false",
}


def test_what_the_flags_become_is_taken_by_the_installed_uvicorn() -> None:
    from lowmem_serve.fallback.flags import FLAGS, Refused

    refused = set()
    for flag in FLAGS.values():
        value = "true" if flag.kind != "value" else VALUES.get(flag.name, "7")
        if flag.translate is None:
            continue
        try:
            words = flag.translate(value)
        except Refused:
            refused.add(flag.name)
            continue
        assert not words or words[0] in known(), (
            f"Uvicorn has no {words[0]}: --{flag.name} needs another translation"
        )
        uvicorns().make_context("uvicorn", ["main:app", *words])
    assert refused == {"proxy-protocol", "jobs-only"}


def test_every_flag_of_uvicorn_is_passed_on() -> None:
    from lowmem_serve.fallback.flags import FLAGS

    names = {
        name.removeprefix("--")
        for parameter in uvicorns().params
        for name in parameter.opts
        if name[0] == "-"
    }
    unknown = names - FLAGS.keys() - {"help", "version"}
    assert unknown == set()


# --- what is typed


@pytest.mark.parametrize(
    ("typed", "words", "unused"),
    [
        (["main:app", "--port", "80", "--host=::1"], ["--port", "80", "--host", "::1"], []),
        (
            ["--ttl", "6h", "--lazy-imports=auto", "main:app", "--preload"],
            [],
            ["--ttl", "--lazy-imports", "--preload"],
        ),
        (["--no-access-log", "--server-header=false"], ["--no-access-log", "--no-server-header"], []),
        (
            ["--reload", "--reload-dir", "a", "--reload-dir", "b"],
            ["--reload", "--reload-dir", "a", "--reload-dir", "b"],
            [],
        ),
        (["--port", "1", "--port", "2"], ["--port", "2"], []),
        (["--bind", "[::1]:80"], ["--host", "::1", "--port", "80"], []),
        (["--bind", "unix:/tmp/a"], ["--uds", "/tmp/a"], []),
        (["--max-head-size", "100"], ["--h11-max-incomplete-event-size", "100"], []),
        (["--timeout-keep-alive", "0.5"], ["--timeout-keep-alive", "1"], []),
        (["--ssl-cert-reqs", "required"], ["--ssl-cert-reqs", "2"], []),
        (["--http", "2"], [], ["--http"]),
        (["--http", "1", "--loop", "asyncio"], ["--http", "auto", "--loop", "asyncio"], []),
    ],
    ids=" ".join,
)
def test_flags_are_translated(typed: list[str], words: list[str], unused: list[str]) -> None:
    assert translation(*typed) == (words, unused)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["run", "main:app"], ["--host", "0.0.0.0"]),
        (["serve", "main:app", "--port", "80"], ["--port", "80", "--host", "0.0.0.0"]),
        (["run", "main:app", "--bind", "127.0.0.1:80"], ["--host", "127.0.0.1", "--port", "80"]),
        (["dev", "main:app"], ["--reload"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_commands_that_serve_have_their_own_defaults(typed: list[str], words: list[str]) -> None:
    assert translation(*typed) == (words, [])


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["status"], "status: this command needs the server itself"),
        (["--tll", "6h"], "--tll: no such flag"),
        (["-w", "2"], "-w: no such flag"),
        (["--port"], "--port: its value is missing"),
        (["a:b", "c:d"], "c:d: one application is served, and a:b is it"),
        (["--bind", "a:1", "--bind", "b:1"], "--bind: Uvicorn listens at one place"),
        (["--bind", "here"], "--bind here: no place like"),
        (["--proxy-protocol"], "--proxy-protocol: Uvicorn would take"),
        (["--timeout-keep-alive", "soon"], "--timeout-keep-alive soon: not a number"),
        (["--access-log=perhaps"], "--access-log perhaps: neither true nor false"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_translated_is_an_error_that_names_it(typed: list[str], message: str) -> None:
    from lowmem_serve.fallback.flags import Refused

    with pytest.raises(Refused, match=re.escape(message)):
        translation(*typed)


def test_the_environment_counts_less_than_the_command_line() -> None:
    variables = {"LOWMEM_PORT": "1", "LOWMEM_HEADERS": "a:1 b:2", "LOWMEM_TTL": "6h", "LOWMEM_UDS": ""}
    words, unused = translation("--port", "2", **variables)
    assert words == ["--port", "2", "--header", "a:1", "--header", "b:2"]
    assert unused == ["--ttl"]


def test_the_settings_file_counts_least(tmp_path: Path) -> None:
    (tmp_path / "lowmem-serve.toml").write_text(
        textwrap.dedent("""
            app = "main:app"
            port = 1
            access_log = false
            header = ["a: 1", "b: 2"]
            ttl = "6h"
            backlog = 5

            [jobs.clean]
            run = "main:clean"
        """)
    )
    words, unused = translation("--port", "2", directory=tmp_path, UVICORN_BACKLOG="7")
    assert words == ["--port", "2", "--no-access-log", "--header", "a: 1", "--header", "b: 2"]
    assert unused == ["--ttl", "--job"]


def test_a_projects_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.lowmem-serve]\nport = 1\n[tool.other]\nfile = "x"\n')
    assert translation(directory=tmp_path) == (["--port", "1"], [])


@pytest.mark.parametrize("content", ["[apps.one]\napp = 'a:b'\n", "prot = 1\n", "port = \n"])
def test_a_settings_file_that_is_not_for_one_application_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "lowmem-serve.toml").write_text(content)
    code, stderr = ended("main:app", cwd=tmp_path)
    assert code == 2
    assert stderr.startswith("lowmem-serve: error: lowmem-serve.toml: ")


# --- the command


def test_uvicorn_serves_and_one_line_says_so() -> None:
    process = fallback("hello:app", "--port", "0", "--ttl", "6h", "--lazy-imports", "auto")
    lines = Lines(process.stderr)
    lines.wait_for_line(RUNNING_ON)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    said = [line for line in lines.wait_for_end().splitlines() if line.startswith("lowmem-serve: ")]
    assert len(said) == 2
    assert re.fullmatch(
        r"lowmem-serve: on Linux Uvicorn \S+ serves in its place: uvicorn hello:app --port 0", said[0]
    )
    assert said[1] == "lowmem-serve: without effect under Uvicorn: --ttl, --lazy-imports"


def test_a_password_is_not_shown() -> None:
    from lowmem_serve.fallback import shown

    assert shown(["a:b", "--ssl-keyfile-password", "secret"]) == ["a:b", "--ssl-keyfile-password", "…"]


def test_without_an_application_it_asks_which() -> None:
    assert ended("--port", "0") == (
        2,
        "lowmem-serve: error: which application? lowmem-serve module:attribute\n",
    )


def test_help_and_version_say_where_one_is() -> None:
    ran = [sys.executable, "-c", "from lowmem_serve.fallback import main; main()"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "python")}
    said = [
        subprocess.run([*ran, flag], env=environment, capture_output=True, text=True)
        for flag in ("--help", "-V")
    ]
    assert [each.returncode for each in said] == [0, 0]
    assert "--lazy-imports" in said[0].stdout.partition("Without effect")[2]
    assert re.match(r"lowmem-serve \S+ \(on Linux: Uvicorn", said[1].stdout)


def test_without_uvicorn_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError('No module named uvicorn')\n")
    code, stderr = ended("hello:app", env={"PYTHONPATH": f"{tmp_path}:{REPOSITORY / 'python'}"})
    assert code == 3
    assert "-m pip install 'uvicorn[standard]'" in stderr


# --- from Python


ELSEWHERE = "import sys; sys.platform = 'darwin'; "
"""In front of a program: on another system than this one."""


def test_the_module_is_the_command() -> None:
    program = f"{ELSEWHERE} import runpy; sys.argv[1:] = ['-V']; runpy.run_module('lowmem_serve', run_name='__main__')"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "python")}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "Uvicorn" in ran.stdout, ran.stderr


def test_serve_waits_until_uvicorn_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "lowmem-serve"
    command.write_text(f"#!{sys.executable}\nfrom lowmem_serve.fallback import main\nmain()\n")
    command.chmod(0o755)
    monkeypatch.setenv("LOWMEM_SERVE_EXECUTABLE", str(command))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "python"))
    from urllib.request import urlopen

    from lowmem_serve.serving import serve

    with serve("hello:app", cwd=str(APPS), ttl="6h") as server, urlopen(server.url, timeout=60) as answer:
        assert answer.read() == b"Hello, world!"
    assert "serves in its place" in server.log


def test_what_needs_the_server_itself_says_so() -> None:
    program = f"{ELSEWHERE} from lowmem_serve import native; native.load()"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "python")}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "runs on Linux only" in ran.stderr
