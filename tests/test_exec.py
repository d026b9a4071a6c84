"""Programs that start Uvicorn by themselves: served by `exec`, refused while an application is imported."""

import textwrap
from pathlib import Path

import pytest

from harness import Server, run
from harness.ports import free_port

APPLICATION = """
    import sys

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": " ".join(sys.argv[1:]).encode() or b"none"})

    def create():
        return app
"""

PROGRAMS = {
    "by name": 'uvicorn.run("site_app:app", port=0, lifespan="off")',
    "by a factory's name": 'uvicorn.run("site_app:create", factory=True, port=0, lifespan="off")',
    "an object": 'uvicorn.run(site_app.app, port=0, lifespan="off")',
    "a server": 'uvicorn.Server(uvicorn.Config(site_app.app, port=0, lifespan="off")).run()',
    "a server in a loop": """
        import asyncio

        async def main():
            await uvicorn.Server(uvicorn.Config(site_app.app, port=0, lifespan="off")).serve()

        asyncio.run(main())
        """,
    "a command": """
        import subprocess
        import sys

        words = ["-m", "uvicorn", "site_app:app", "--port", "0", "--lifespan", "off"]
        subprocess.run([sys.executable, *words], cwd=sys.path[0])
        """,
    "a command in its place": """
        import os
        import sys

        os.chdir(sys.path[0])
        os.execvp("uvicorn", ["uvicorn", "site_app:app", "--port", "0", "--lifespan", "off"])
        """,
}


def program(directory: Path, start: str) -> Path:
    (directory / "site_app.py").write_text(textwrap.dedent(APPLICATION))
    path = directory / "program.py"
    path.write_text("import site_app\nimport uvicorn\n\n" + textwrap.dedent(start).strip() + "\n")
    return path


@pytest.mark.parametrize("start", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_that_starts_uvicorn_is_served(server, tmp_path: Path, start: str) -> None:
    path = program(tmp_path, start)
    started: Server = server("exec", "python", str(path), "with", "arguments", cwd=Path("/"), places=False)
    answer = started.get("/")
    assert answer.status == 200
    # The program's own run has its arguments, also in the worker.
    assert answer.text == "with arguments" or '"site_app:' in start
    assert "Uvicorn running" not in started.stderr.text


def test_a_program_may_look_whether_its_port_is_free(server, tmp_path: Path) -> None:
    port = free_port()
    look = f"""
        import socket

        with socket.socket() as looking:
            looking.bind(("127.0.0.1", {port}))
        uvicorn.run(site_app.app, port={port}, lifespan="off")
        """
    path = program(tmp_path, look)
    started: Server = server("exec", "python", str(path), cwd=tmp_path, places=False)
    assert started.get("/").status == 200
    started.kill_worker()
    started.stderr.wait_for_line("starting another")
    assert started.get("/").status == 200


def test_the_variables_and_the_directory_of_a_command_are_its_own(server, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = program(tmp_path, PROGRAMS["a command"].replace("cwd=sys.path[0]", "cwd='inner', env=ENV"))
    text = path.read_text().replace(
        "import uvicorn", "import os\n\nENV = {**os.environ, 'SITE_WORD': 'told'}", 1
    )
    path.write_text(text)
    (inner / "site_app.py").write_text(
        textwrap.dedent(APPLICATION).replace(
            '" ".join(sys.argv[1:])', '__import__("os").environ["SITE_WORD"]'
        )
    )
    started: Server = server("exec", "python", str(path), cwd=tmp_path, places=False)
    assert started.get("/").text == "told"


def test_flags_win_over_what_the_program_says_and_the_worker_may_be_replaced(server, tmp_path: Path) -> None:
    path = program(tmp_path, PROGRAMS["an object"])
    started: Server = server("exec", "--root-path", "/x", "--", str(path), cwd=tmp_path, places=False)
    started.kill_worker()
    started.stderr.wait_for_line(r"starting another")
    assert started.get("/").status == 200


def test_a_module_of_a_package_is_a_program(server, tmp_path: Path) -> None:
    program(tmp_path, PROGRAMS["by name"])
    started: Server = server("exec", "python", "-m", "program", cwd=tmp_path, places=False)
    assert started.get("/").status == 200


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "the program is missing"),
        (("no-such-program",), "there is no program no-such-program"),
        (("quiet.py",), "for the script here: lowmem-serve exec -- python quiet.py"),
        (("/bin/ls",), "/bin/ls is no Python program"),
        (("python", "quiet.py"), "has ended and not called uvicorn.run"),
    ],
)
def test_what_cannot_be_run_is_told(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    (tmp_path / "quiet.py").write_text("print('nothing')\n")
    ended = run("exec", *words, cwd=tmp_path)
    assert ended.returncode != 0
    assert why in ended.stderr


# --- servers that start while the application is imported


@pytest.mark.parametrize(
    ("start", "called"),
    [
        ("import uvicorn\nuvicorn.run(app, port=0)", "uvicorn.run()"),
        ("import uvicorn\nuvicorn.Server(uvicorn.Config(app, port=0)).run()", "uvicorn.Server.run()"),
        ("from werkzeug.serving import run_simple\nrun_simple('127.0.0.1', 0, app)", "app.run()"),
    ],
)
@pytest.mark.parametrize("flag", [(), ("--preload",)], ids=["", "preload"])
def test_a_server_inside_an_import_is_refused(
    tmp_path: Path, start: str, called: str, flag: tuple[str, ...]
) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(APPLICATION) + "\n" + start + "\n")
    ended = run("mine:app", "--port", "0", *flag, cwd=tmp_path)
    assert ended.returncode == 1
    assert f"RuntimeError: {called} is called while lowmem-serve imports the application" in ended.stderr
    assert "mine.py" in ended.stderr


def test_the_same_below_main_and_later_is_the_applications_affair(server, tmp_path: Path) -> None:
    source = """
        import json
        import sys

        import uvicorn

        async def app(scope, receive, send):
            finders = [type(finder).__name__ for finder in sys.meta_path]
            refuses = sys.modules["lowmem_serve.inside"].importing
            await send({"type": "http.response.start", "status": 200, "headers": []})
            body = json.dumps([refuses, finders.count("Finder")]).encode()
            await send({"type": "http.response.body", "body": body})

        if __name__ == "__main__":
            uvicorn.run(app)
    """
    (tmp_path / "mine.py").write_text(textwrap.dedent(source))
    started: Server = server("mine:app", cwd=tmp_path)
    refuses, finders = started.get("/").json()
    assert not refuses and finders <= 1
