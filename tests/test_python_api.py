"""`lowmem_serve.run` and `lowmem_serve.serve`, and the fixture for pytest."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest

from harness import APPS, Lines, Server, command_line, processes
from harness.journal import until
from harness.server import REPOSITORY, RUNNING_ON, environment

pytestmark = pytest.mark.skipif(
    len(command_line()) != 1, reason="the server under test is no single executable"
)

VARIABLES = {
    "PYTHONPATH": str(REPOSITORY / "python"),
    "LOWMEM_SERVE_EXECUTABLE": command_line()[0],
}

PLUGIN = {**VARIABLES, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""For a pytest that is told the plugin: where the package is installed, it would be found a second time."""

SCRIPT = """
    import lowmem_serve

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["root_path"].encode()})

    lowmem_serve.run(%s, port=0, root_path="/here", access_log=False, lifespan="off")
"""


@pytest.fixture(autouse=True)
def this_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "python"))
    monkeypatch.delitem(sys.modules, "lowmem_serve", raising=False)
    for name, value in environment(VARIABLES).items():
        monkeypatch.setenv(name, value)


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=40) as answer:
        return answer.read().decode()


def script(directory: Path, source: str) -> Path:
    path = directory / "served.py"
    path.write_text(textwrap.dedent(source))
    return path


def ends(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(VARIABLES), cwd="/", timeout=60
    )


# --- run


def test_a_script_becomes_the_server_and_may_be_the_application_itself(tmp_path: Path) -> None:
    """Without `if __name__ == "__main__"`: in the worker, which imports the module, `run` returns at once."""
    path = script(tmp_path, SCRIPT % '"served:app"')
    started = subprocess.Popen(
        [sys.executable, str(path)], stderr=subprocess.PIPE, env=environment(VARIABLES), cwd="/"
    )
    try:
        assert started.stderr
        lines = Lines(started.stderr)
        found = lines.wait_for_line(RUNNING_ON, 40)
        assert fetched(f"http://{found['host']}:{found['port']}/") == "/here"
        assert "Uvicorn" not in lines.text
        assert Path(f"/proc/{started.pid}/comm").read_text().strip() == "lowmem-serve"
        # A place of the script's own, and no second server in the worker.
        assert len(processes.children(started.pid)) == 1
        started.send_signal(signal.SIGTERM)
        assert started.wait(40) == 0
    finally:
        started.kill()
        started.wait()


def test_an_application_object_is_answered_with_its_name(tmp_path: Path) -> None:
    ended = ends(script(tmp_path, SCRIPT % "app"))
    assert ended.returncode == 1
    assert "TypeError: lowmem_serve serves an application by its name" in ended.stderr
    assert "write 'served:app' instead of the function object" in ended.stderr


@pytest.mark.parametrize("app", ["5", "None"])
def test_what_is_no_application_is_not_given_the_name_of_a_constant(tmp_path: Path, app: str) -> None:
    ended = ends(script(tmp_path, f"import lowmem_serve, signal\nlowmem_serve.run({app})"))
    assert ended.returncode == 1 and "write 'main:app' instead of the" in ended.stderr


def test_a_setting_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    ended = ends(script(tmp_path, "import lowmem_serve\nlowmem_serve.run('served:app', prot=0)"))
    assert ended.returncode == 2
    assert "--prot" in ended.stderr and "--port" in ended.stderr


def test_an_interactive_interpreter_is_not_ended() -> None:
    source = "import lowmem_serve; lowmem_serve.run('hello:app')"
    ended = subprocess.run(
        [sys.executable, "-i", "-c", source],
        input="print('still here')\n",
        capture_output=True,
        text=True,
        env=environment(VARIABLES),
        cwd=APPS,
        timeout=40,
    )
    assert "use lowmem_serve.serve()" in ended.stderr
    assert "still here" in ended.stdout


def test_settings_are_typed_as_the_command_line_has_them() -> None:
    from lowmem_serve import options

    arguments, variables = options.command_line(
        "main:app",
        {
            "host": None,
            "log_level": 30,
            "timeout_keep_alive": 5,
            "proxy_headers": False,
            "reload": False,
            "factory": True,
            "forwarded_allow_ips": ["10.0.0.1", "10.0.0.2"],
            "headers": [("server", "mine"), "x-a:1"],
            "reload_dirs": "src",
            "app_dir": Path("here"),
        },
    )
    assert arguments == [
        "main:app",
        "--log-level=warning",
        "--timeout-keep-alive=5",
        "--no-proxy-headers",
        "--factory",
        "--forwarded-allow-ips=10.0.0.1,10.0.0.2",
        *("--header", "server:mine", "--header", "x-a:1"),
        *("--reload-dir", "src"),
        "--app-dir=here",
    ]
    assert variables == {"LOWMEM_RELOAD": "false"}
    with pytest.raises(TypeError, match="write it to a JSON file"):
        options.command_line("main:app", {"log_config": {"version": 1}})


def test_names_of_uvicorns_run_with_their_defaults_are_flags() -> None:
    """Those that are `None` by default are left out. Those that only its own implementations have are answered with
    a notice, as on the command line."""
    import inspect

    import uvicorn

    from lowmem_serve import options

    settings: dict[str, object] = {}
    for name, parameter in inspect.signature(uvicorn.run).parameters.items():
        kind = type(parameter.default)
        if name not in ("app", "log_config", "ws_max_queue") and kind in (bool, int, float, str):
            settings[name] = parameter.default
    settings |= {"reload_includes": ["*.html"], "headers": [("a", "b")], "log_level": 20}
    arguments, variables = options.command_line("hello:app", settings)
    ended = subprocess.run(
        [*command_line(), "config", *arguments],
        capture_output=True,
        text=True,
        env=environment(variables),
        cwd=APPS,
    )
    for refusal in ("unexpected argument", "invalid value", "is no setting", "a value is required"):
        assert refusal not in ended.stderr, ended.stderr


# --- serve


def test_a_server_beside_the_program() -> None:
    import lowmem_serve

    with lowmem_serve.serve("hello:app", cwd=APPS, log_level="error") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert "Hello" in fetched(server.url + "/")
        pid = server.pid
    assert processes.wait_for_exit(pid, 20)
    assert server.stop() == 0


def test_a_server_in_an_async_program_with_several_workers() -> None:
    import lowmem_serve

    async def main() -> tuple[str, bool]:
        async with lowmem_serve.serve("hello:app", cwd=APPS, workers=2, host="::1") as server:
            body = await asyncio.to_thread(fetched, server.url)
            # It is ready with the first of them.
            return body, until(lambda: len(processes.children(server.pid)) == 2)

    body, are_two = asyncio.run(main())
    assert "Hello" in body and are_two


def test_a_server_that_cannot_start_is_an_error_with_its_log() -> None:
    import lowmem_serve

    with pytest.raises(lowmem_serve.ServerFailed, match=r"exit code 3[\s\S]*Could not import module"):
        lowmem_serve.serve("nowhere:app", cwd=APPS).start()


def test_a_server_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    import lowmem_serve

    script(tmp_path, "import time\ntime.sleep(60)")
    served = lowmem_serve.serve("served:app", cwd=tmp_path, start_timeout=1, timeout_graceful_shutdown=1)
    with pytest.raises(lowmem_serve.ServerFailed, match="not ready within 1 s"):
        served.start()
    assert processes.wait_for_exit(served.pid, 20)


def test_a_unix_socket_is_the_servers_own(tmp_path: Path) -> None:
    import lowmem_serve

    with lowmem_serve.serve("hello:app", cwd=APPS, uds=tmp_path / "socket") as server:
        assert (tmp_path / "socket").is_socket()
        assert server.url == ""


# --- pytest


def test_the_fixture_stops_its_servers_and_a_failed_test_shows_the_log(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            import os, urllib.request

            def test_home(lowmem_server):
                server = lowmem_server("hello:app", app_dir=os.environ["APPS"])
                assert urllib.request.urlopen(server.url).status == 200
                assert server.pid == 0, f"pid {server.pid}"
        """)
    )
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "lowmem_serve.pytest_plugin", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment({**PLUGIN, "APPS": str(APPS)}),
        timeout=120,
    )
    assert "1 failed" in ended.stdout
    assert '"GET / HTTP/1.1" 200' in ended.stdout
    pid = int(ended.stdout.split("AssertionError: pid ")[1].split()[0])
    assert not os.path.exists(f"/proc/{pid}")


LOADED = """
import sys

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": " ".join(sys.modules).encode()})
"""


def test_nothing_of_it_is_loaded_before_it_is_used(server, tmp_path: Path) -> None:
    """A worker has the package's __init__ at most."""
    (tmp_path / "loaded.py").write_text(LOADED)
    started: Server = server("loaded:app", "--lifespan", "off", cwd=tmp_path)
    modules = started.get("/").text.split()
    assert "sys" in modules and "loaded" in modules
    assert not {"lowmem_serve.serving", "lowmem_serve.starting", "lowmem_serve.options"} & set(modules)


def test_the_package_offers_its_names() -> None:
    import lowmem_serve

    for name in lowmem_serve._EXPORTS:
        assert getattr(lowmem_serve, name)
    with pytest.raises(AttributeError):
        _ = lowmem_serve.nothing


# --- docs/python.md

MAIN = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"main"})
"""


def snippets() -> list[str]:
    text = (REPOSITORY / "docs" / "python.md").read_text()
    return [part.partition("```")[0] for part in text.split("```python\n")[1:]]


def test_the_documented_programs_run(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    run, serve, fixture = snippets()
    assert 'run("main:app", port=8000' in run
    path = script(tmp_path, run.replace("port=8000", "port=0"))
    with subprocess.Popen(
        [sys.executable, str(path)], stderr=subprocess.PIPE, env=environment(VARIABLES), cwd="/"
    ) as started:
        assert started.stderr
        found = Lines(started.stderr).wait_for_line(RUNNING_ON, 40)
        assert fetched(f"http://{found['host']}:{found['port']}/") == "main"
        started.send_signal(signal.SIGTERM)
        assert started.wait(40) == 0
    (tmp_path / "beside.py").write_text(serve)
    command = [sys.executable, "beside.py"]
    ran = subprocess.run(
        command, capture_output=True, text=True, env=environment(VARIABLES), cwd=tmp_path, timeout=120
    )
    assert (ran.returncode, ran.stdout) == (0, "200\n"), ran.stderr
    (tmp_path / "test_home.py").write_text(fixture)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "lowmem_serve.pytest_plugin", "test_home.py"]
    ran = subprocess.run(
        command, capture_output=True, text=True, env=environment(PLUGIN), cwd=tmp_path, timeout=120
    )
    assert ran.returncode == 0 and "1 passed" in ran.stdout, ran.stdout + ran.stderr
