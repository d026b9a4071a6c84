"""--reload: files of settings and variables are followed, too, as far as they are about workers."""

from pathlib import Path

import pytest

from harness import Server
from harness.journal import until
from harness.reloading import reloads, wait_for_reload, workers

APP = """
import os

async def app(scope, receive, send):
    assert scope["type"] == "http"
    said = f"{scope['root_path']} {os.environ.get('SAID', '')}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})
"""


@pytest.fixture
def configured(server, tmp_path: Path):
    """Starts an application that says its root path and a variable, with a settings file."""
    (tmp_path / "said.py").write_text(APP)
    (tmp_path / "lowmem-serve.toml").write_text("root-path = '/one'\nenv-file = '.env'\n")
    (tmp_path / ".env").write_text("SAID=one\n")

    def start(*flags: str) -> Server:
        return server("said:app", "--reload", "--no-access-log", *flags, cwd=tmp_path)

    return start


def test_variables_of_the_env_file_are_the_next_workers(configured, tmp_path: Path) -> None:
    started = configured()
    assert started.get("/").text == "/one one"
    (tmp_path / ".env").write_text("SAID=two\n")
    wait_for_reload(started)
    # The old worker is told to end at that moment.
    until(lambda: started.get("/").text == "/one two")
    assert reloads(started) == ["'.env'"]


def test_settings_of_workers_are_the_next_workers(configured, tmp_path: Path) -> None:
    started = configured()
    (tmp_path / "lowmem-serve.toml").write_text("root-path = '/two'\nenv-file = '.env'\n")
    wait_for_reload(started)
    until(lambda: started.get("/").text == "/two one")
    assert "restart" not in started.stderr


def test_settings_of_the_server_are_said_to_need_a_restart(configured, tmp_path: Path) -> None:
    started = configured()
    (worker,) = workers(started)
    settings = tmp_path / "lowmem-serve.toml"
    settings.write_text(settings.read_text() + "backlog = 7\n")
    started.stderr.wait_for_line(
        "Some settings in 'lowmem-serve.toml' take effect with a restart of the server only"
    )
    assert not reloads(started)
    assert workers(started) == [worker]


def test_settings_that_make_no_sense_are_told_and_not_taken(configured, tmp_path: Path) -> None:
    started = configured()
    (tmp_path / "lowmem-serve.toml").write_text("rot-path = '/two'\n")
    started.stderr.wait_for_line("The settings stay as they were")
    started.stderr.wait_for_line("lowmem-serve.toml:1: .*rot-path")
    assert started.get("/").text == "/one one"
    assert not reloads(started)


def test_a_project_that_says_nothing_new_is_no_change(configured, tmp_path: Path) -> None:
    started = configured()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'said'\n")
    (tmp_path / "said.py").write_text(APP + "# edited\n")
    wait_for_reload(started)
    assert started.get("/").text == "/one one"
    assert "restart" not in started.stderr
