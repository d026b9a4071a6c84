"""The settings file: where it is found, what wins over it, and what is said about mistakes in it."""

from pathlib import Path

import pytest

from harness import APPS, run


def config(
    directory: Path, *arguments: str, env: dict[str, str] | None = None
) -> dict[str, tuple[str | None, str]]:
    """Each setting as it is shown: its value and where it came from."""
    ended = run("config", *arguments, cwd=directory, env=env)
    assert ended.returncode == 0, ended.stderr
    settings = {}
    for line in ended.stdout.splitlines():
        setting, _, origin = line.rpartition("# ")
        name, is_set, value = setting.lstrip("# ").partition(" = ")
        settings[name.strip()] = (value.strip() if is_set else None, origin)
    return settings


def wrong(directory: Path, *arguments: str) -> list[str]:
    ended = run(*arguments, cwd=directory)
    assert ended.returncode == 2
    assert not ended.stdout
    return ended.stderr.removeprefix("error: ").splitlines()


def test_a_file_says_what_is_served_and_how(server, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"""
        app = "mirror:app"
        app_dir = "{APPS}"
        root-path = "/below"
        header = ["X-One: 1", "X-Two: 2"]
        server-header = false
        timeout-keep-alive = 2.5
    """)
    started = server(f"--config={file}")
    answered = started.get("/a")
    assert answered.json()["root_path"] == "/below"
    assert [answered.header(name) for name in ("x-one", "x-two", "server")] == ["1", "2", None]


def test_the_working_directory_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.lowmem-serve]\nport = 81\n')
    assert config(tmp_path)["port"] == ("81", "pyproject.toml:4")
    (tmp_path / "lowmem-serve.toml").write_text("port = 82\n")
    assert config(tmp_path)["port"] == ("82", "lowmem-serve.toml:1")


def test_a_directory_further_up_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "lowmem-serve.toml").write_text("port = 82\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    assert config(inner)["port"] == (None, "not set: 8000")


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    (tmp_path / "lowmem-serve.toml").write_text(
        "port = 1\nbacklog = 1\nworkers = 1\naccess-log = false\nfactory = true\nheader = ['a:1', 'b:2']\n"
    )
    env = {"UVICORN_BACKLOG": "2", "WEB_CONCURRENCY": "2", "LOWMEM_ACCESS_LOG": "yes", "LOWMEM_PORT": "2"}
    settings = config(tmp_path, "--port", "3", env=env)
    assert settings["port"] == ("3", "command line")
    assert settings["backlog"] == ("2", "$UVICORN_BACKLOG")
    assert settings["workers"] == ("2", "$WEB_CONCURRENCY")
    assert settings["access-log"] == ("true", "$LOWMEM_ACCESS_LOG")
    assert settings["factory"] == ("true", "lowmem-serve.toml:5")
    assert settings["header"] == ('["a:1", "b:2"]', "lowmem-serve.toml:6")
    assert config(tmp_path, "--header", "c:3")["header"] == ('["c:3"]', "command line")
    assert config(tmp_path, env={"UVICORN_HEADERS": "d:4"})["header"] == ('["d:4"]', "$UVICORN_HEADERS")


def test_what_config_writes_is_a_settings_file(tmp_path: Path) -> None:
    written = run("config", "hello:app", "--port", "81", "--ttl", "6h", "--header", "a: 1", cwd=tmp_path)
    (tmp_path / "lowmem-serve.toml").write_text(written.stdout)
    settings = config(tmp_path)
    assert [settings[name][0] for name in ("app", "port", "ttl", "header", "access-log")] == [
        '"hello:app"',
        "81",
        '"6h"',
        '["a: 1"]',
        "true",
    ]


def test_all_mistakes_are_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "lowmem-serve.toml").write_text("prot = 80\n\nfactory = 'yes'\nbacklog = -1\n")
    told = wrong(tmp_path, "hello:app")
    assert told[0] == "lowmem-serve.toml:1: there is no setting prot; did you mean port?"
    assert told[1] == "lowmem-serve.toml:3: factory wants true or false, not a string"
    assert told[2].startswith('lowmem-serve.toml:4: backlog = "-1": ')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 80\nhost =", "lowmem-serve.toml:2: "),
        (
            "no-access-log = true",
            "lowmem-serve.toml:1: there is no setting no-access-log; write access-log = false",
        ),
        ("config = 'x.toml'", "lowmem-serve.toml:1: there is no setting config"),
        ("[http]\nport = 1", "lowmem-serve.toml:1: "),
    ],
)
def test_a_mistake_in_the_file_is_wrong_usage(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "lowmem-serve.toml").write_text(text)
    assert wrong(tmp_path, "hello:app")[0].startswith(message)


def test_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    assert wrong(tmp_path, "hello:app", "--config", "nowhere.toml")[0].startswith(
        "--config nowhere.toml: No such file"
    )
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    told = wrong(tmp_path, "hello:app", "--config", "pyproject.toml")
    assert told == ["pyproject.toml has no table [tool.lowmem-serve]"]


def test_a_pyproject_that_is_broken_but_not_ours_is_none_of_our_business(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert config(tmp_path)["port"] == (None, "not set: 8000")


def test_a_wrong_variable_is_named() -> None:
    ended = run("hello:app", env={"UVICORN_PORT": "many"})
    assert ended.returncode == 2
    assert "invalid value 'many' for 'UVICORN_PORT'" in ended.stderr
