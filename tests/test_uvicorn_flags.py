"""Every flag that Uvicorn's own help names is taken, by name and from the environment."""

import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from harness import run

# Values for options whose type does not say enough.
VALUES = {
    "--app-dir": ".",
    "--env-file": "/dev/null",
    "--fd": "0",
    "--header": "a:b",
    "--log-config": "/dev/null",
    "--reload-dir": ".",
    "--ssl-version": "17",
    "--ssl-cert-reqs": "0",
}
TYPES = {"TEXT": "text", "INTEGER": "7", "FLOAT": "1.5", "BOOLEAN": "true", "PATH": "."}
ACCEPTED_ONLY_AS_FLAGS = {"--help", "--version"}


@dataclass(frozen=True)
class Option:
    names: tuple[str, ...]
    values: tuple[str, ...]


@cache
def uvicorns() -> tuple[Option, ...]:
    """The options of the help: `  --name TYPE  words` or `  --name / --no-name  words`."""
    command = [sys.executable, "-m", "uvicorn", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    options = []
    for found in re.finditer(
        r"^  (--[\w-]+)(?: / (--[\w-]+))?(?: (\[[^\]\s]+\]|[A-Z]+)(?=\s|$))?", text, re.MULTILINE
    ):
        name, negation, kind = found.groups()
        names = (name, negation) if negation else (name,)
        choices = kind.strip("[]").split("|") if kind and "|" in kind else None
        values = choices or ([VALUES.get(name) or TYPES[kind]] if kind else [])
        options.append(Option(names, tuple(values)))
    assert len(options) > 45, text
    return tuple(options)


def ways() -> list[tuple[str, ...]]:
    """Each way to type each option."""
    return [
        (name, value) if value else (name,)
        for option in uvicorns()
        for name in option.names
        for value in option.values or ("",)
    ]


@pytest.mark.parametrize("typed", ways(), ids=" ".join)
def test_it_is_taken(typed: tuple[str, ...]) -> None:
    ended = run(*typed) if typed[0] in ACCEPTED_ONLY_AS_FLAGS else run("config", "hello:app", *typed)
    for refusal in ("unexpected argument", "invalid value", "does not have", "a value is required"):
        assert refusal not in ended.stderr


# The variables are named after click's parameters, which are plural where an option is repeatable.
PARAMETERS = {"--header": "HEADERS", "--reload-dir": "RELOAD_DIRS"} | {
    f"--reload-{word}": f"RELOAD_{word.upper()}S" for word in ("include", "exclude")
}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (option.names[0], (option.values or ("true",))[0])
        for option in uvicorns()
        if option.names[0] not in ACCEPTED_ONLY_AS_FLAGS
    ],
)
def test_its_variable_is_read(option: str, value: str) -> None:
    name = "UVICORN_" + PARAMETERS.get(option, option[2:].upper().replace("-", "_"))
    ended = run("config", "hello:app", env={name: value})
    assert f"# ${name}" in ended.stdout, ended.stderr


@pytest.mark.parametrize(
    "value", ["1", "true", "t", "yes", "y", "on", "TRUE", "0", "false", "f", "no", "n", "off"]
)
def test_a_boolean_in_the_environment_may_be_written_as_there(value: str) -> None:
    ended = run("config", "hello:app", env={"UVICORN_ACCESS_LOG": value, "UVICORN_FACTORY": value})
    expected = "true" if value.lower() in ("1", "true", "t", "yes", "y", "on") else "false"
    for name in ("access-log", "factory"):
        assert re.search(rf"^{name} = {expected} ", ended.stdout, re.MULTILINE), ended.stderr


def test_a_negation_has_no_variable() -> None:
    ended = run("config", "hello:app", env={"UVICORN_NO_ACCESS_LOG": "true"})
    assert "access-log = true" in ended.stdout


@pytest.mark.parametrize(
    ("flags", "notice"),
    [
        (("--http", "h11"), "--http h11 is ignored"),
        (("--ws-max-queue", "5"), "--ws-max-queue 5 is ignored"),
        (("--timeout-worker-healthcheck", "9"), "--timeout-worker-healthcheck 9 is ignored"),
    ],
)
def test_a_choice_that_is_none_here_is_answered_with_a_notice(
    server, flags: tuple[str, ...], notice: str
) -> None:
    started = server("hello:app", *flags)
    assert f"WARNING:  {notice}" in started.stderr.text


def test_a_choice_that_asks_for_nothing_is_not_mentioned(server) -> None:
    started = server("hello:app", "--http", "auto", "--ws", "auto", "--reset-contextvars")
    assert "WARNING" not in started.stderr.text


def test_web_concurrency_of_an_env_file_counts(server, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("WEB_CONCURRENCY=2\n")
    started = server("hello:app", "--env-file", str(tmp_path / "env"))
    started.stderr.wait_for_line("Application startup complete", times=2)
    assert len(started.worker_pids()) == 2
