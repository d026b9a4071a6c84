"""The first word that is no application: what it writes, and how it ends."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from harness import run


def config(*arguments: str, **options) -> dict[str, object]:
    ended = run("config", *arguments, **options)
    assert ended.returncode == 0, ended.stderr
    return tomllib.loads(ended.stdout)


def origin(output: str, name: str) -> str:
    (line,) = (line for line in output.splitlines() if line.split()[0] == name)
    return line.rpartition("# ")[2]


def test_the_help_lists_the_commands() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    commands = ended.stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    assert {"config", "completions", "man"} <= {line.split()[0] for line in commands.splitlines()}


def test_config_shows_each_setting_and_where_it_came_from() -> None:
    env = {"LOWMEM_LOG_LEVEL": "debug", "UVICORN_BACKLOG": "5", "WEB_CONCURRENCY": "3"}
    ended = run("config", "hello:app", "--port", "81", "--no-access-log", env=env)
    assert ended.returncode == 0, ended.stderr
    settings = tomllib.loads(ended.stdout)
    expected = {"app": "hello:app", "port": 81, "access-log": False, "log-level": "debug"}
    assert settings.items() >= expected.items()
    assert (settings["backlog"], settings["workers"], settings["log-format"]) == (5, 3, "human")
    origins = {name: origin(ended.stdout, name) for name in ("port", "access-log", "log-level", "backlog")}
    assert origins == {
        "port": "command line",
        "access-log": "command line",
        "log-level": "$LOWMEM_LOG_LEVEL",
        "backlog": "$UVICORN_BACKLOG",
    }
    assert (origin(ended.stdout, "workers"), origin(ended.stdout, "log-format")) == (
        "$WEB_CONCURRENCY",
        "default",
    )


def test_config_writes_texts_that_can_be_read_again() -> None:
    awkward = "x-a: \"b\\c' \t#"
    assert config("--header", awkward, "--header", "x-b: 2")["header"] == [awkward, "x-b: 2"]


def test_config_says_what_is_wrong() -> None:
    ended = run("config", "hello:app", "--workers", "0", "--header", "no colon")
    assert ended.returncode == 2
    assert "workers" in ended.stderr and "header" in ended.stderr


@pytest.mark.parametrize(("shell", "check"), [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_completions_are_a_script_of_the_shell(shell: str, check: list[str], tmp_path: Path) -> None:
    ended = run("completions", shell)
    assert ended.returncode == 0
    assert "--timeout-keep-alive" in ended.stdout or "timeout-keep-alive" in ended.stdout
    if path := shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(ended.stdout)
        subprocess.run([path, *check, script], check=True)


def test_bash_completes_a_flag(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(run("completions", "bash").stdout)
    ask = f"source {script}; COMP_WORDS=(lowmem-serve --timeout-k); COMP_CWORD=1; "
    ask += "_lowmem__serve lowmem-serve --timeout-k lowmem-serve; echo ${COMPREPLY[@]}"
    answered = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert answered.stdout.strip() == "--timeout-keep-alive"


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("--timeout-k", "--timeout-keep-alive"),
        ("main:app --timeout-k", "--timeout-keep-alive"),
        ("main:app --lifespan o", "on off"),
        ("weigh --bu", "--budget"),
        ("weigh --timeout-k", ""),
    ],
)
def test_fish_completes_before_and_after_the_application(tmp_path: Path, typed: str, offered: str) -> None:
    script = tmp_path / "script"
    script.write_text(run("completions", "fish").stdout)
    # fish completes only what it can run.
    command = tmp_path / "lowmem-serve"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    ask = f"set -p PATH {tmp_path}; source {script}; complete -C 'lowmem-serve {typed}'"
    answered = subprocess.run(["fish", "--no-config", "-c", ask], capture_output=True, text=True, check=True)
    words = [line.split("\t")[0] for line in answered.stdout.splitlines()]
    assert sorted(words) == sorted(offered.split())


def test_an_unknown_shell_is_wrong_usage() -> None:
    assert run("completions", "tcsh").returncode == 2


def test_the_man_page_has_every_group_and_the_exit_codes() -> None:
    ended = run("man")
    assert ended.returncode == 0
    for heading in (".SH NAME", ".SH APPLICATION", ".SH LISTENING", ".SH LOGGING", "Exit codes"):
        assert heading in ended.stdout


def test_a_command_is_one_only_as_the_first_word() -> None:
    ended = run("hello:app", "config")
    assert ended.returncode == 2
    assert "config" in ended.stderr
