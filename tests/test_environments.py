"""One build serves every CPython that is supported, wherever it comes from."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import REPOSITORY, Server, run

SUPPORTED = ("3.11", "3.12", "3.13")
TOO_OLD = "3.10"
SYSTEM_PYTHON = Path("/usr/bin/python3")

Venvs = Callable[[Path], Path]


@functools.cache
def find_python(version: str) -> Path | None:
    """An interpreter of this version: of pyenv, else on PATH (a pyenv shim may lead nowhere)."""
    pyenv = shutil.which("pyenv")
    root = subprocess.check_output([pyenv, "root"], text=True).strip() if pyenv else "~/.pyenv"
    installed = Path(root).expanduser().glob(f"versions/{version}.*/bin/python{version}")
    on_path = shutil.which(f"python{version}")
    for candidate in [*sorted(installed), *([Path(on_path)] if on_path else [])]:
        if version_of(candidate) == version:
            return candidate
    return None


@functools.cache
def version_of(python: Path) -> str | None:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    asked = subprocess.run([python, "-c", program], capture_output=True, text=True)
    return asked.stdout.strip() if asked.returncode == 0 else None


@pytest.fixture(scope="session")
def venv_of(tmp_path_factory: pytest.TempPathFactory) -> Venvs:
    """An empty venv of an interpreter, made once."""

    @functools.cache
    def make(python: Path) -> Path:
        where = tmp_path_factory.mktemp("venv") / f"of-{python.name}"
        subprocess.run([python, "-m", "venv", "--without-pip", where], check=True, capture_output=True)
        return where

    return make


@pytest.fixture(params=[*SUPPORTED, "system"])
def venv(request: pytest.FixtureRequest, venv_of: Venvs) -> Path:
    version = request.param
    python = SYSTEM_PYTHON if version == "system" else find_python(version)
    if python is None or version_of(python) not in SUPPORTED:
        pytest.skip(f"no CPython for {version} here")
    return venv_of(python)


def assert_serves_from(server: Server, venv: Path) -> None:
    seen = server.get("/").json()
    assert seen["prefix"] == seen["prefix of a child"] == str(venv)
    assert ".".join(map(str, seen["version"])) == version_of(venv / "bin" / "python")
    assert seen["thread"] == 42
    assert server.terminate() == 0
    assert "lifespan shutdown ran" in server.stdout.wait_for_end()


def test_python_may_be_an_executable(server, venv: Path) -> None:
    python = str(venv / "bin" / "python")
    assert_serves_from(server("environment:app", python=python, env={"LOWMEM_PYTHON": None}), venv)


def test_python_may_be_a_venv(server, venv: Path) -> None:
    started = server("environment:app", python=str(venv), env={"LOWMEM_PYTHON": None})
    assert_serves_from(started, venv)


def test_an_active_venv_is_used(server, venv: Path) -> None:
    active = {"LOWMEM_PYTHON": None, "VIRTUAL_ENV": str(venv)}
    assert_serves_from(server("environment:app", env=active), venv)


def test_the_flag_wins_over_the_active_venv(server, venv: Path, tmp_path: Path) -> None:
    env = {"LOWMEM_PYTHON": None, "VIRTUAL_ENV": str(tmp_path / "some other")}
    assert_serves_from(server("environment:app", python=str(venv), env=env), venv)


def test_an_active_venv_that_is_gone_is_warned_of(server, venv: Path, tmp_path: Path) -> None:
    path = f"{venv / 'bin'}:/usr/bin:/bin"
    env = {"LOWMEM_PYTHON": None, "VIRTUAL_ENV": str(tmp_path / "gone"), "PATH": path}
    started = server("hello:app", env=env)
    warning = rf"WARNING:  VIRTUAL_ENV is {tmp_path}/gone: no Python there\. .* is taken instead\."
    started.stderr.wait_for_line(warning)


def test_bare_asgi_is_served(server, venv: Path) -> None:
    assert server("hello:app", python=str(venv)).get("/").body == b"Hello, world!"


@pytest.mark.skipif(version_of(SYSTEM_PYTHON) not in SUPPORTED, reason="no supported /usr/bin/python3 here")
def test_the_systems_python_is_served_without_a_venv(server) -> None:
    started = server("environment:app", python=str(SYSTEM_PYTHON), env={"LOWMEM_PYTHON": None})
    assert started.get("/").json()["prefix"] == "/usr"


@pytest.mark.skipif(version_of(SYSTEM_PYTHON) not in SUPPORTED, reason="no supported /usr/bin/python3 here")
def test_python3_on_path_is_the_last_resort(server) -> None:
    started = server("environment:app", env={"LOWMEM_PYTHON": None, "PATH": "/usr/bin:/bin"})
    assert started.get("/").json()["prefix"] == "/usr"


def test_no_python_at_all_is_an_error_that_names_what_was_looked_at(tmp_path: Path) -> None:
    ended = run("hello:app", "--port", "0", env={"LOWMEM_PYTHON": None, "PATH": str(tmp_path)})
    assert ended.returncode == 3
    assert "No Python" in ended.stderr
    assert str(tmp_path) in ended.stderr


@pytest.mark.parametrize("python", ["/does/not/exist", "/bin/true", "/tmp"])
def test_a_python_that_is_none_is_an_error_that_names_it(python: str) -> None:
    ended = run("hello:app", "--port", "0", "--python", python)
    assert ended.returncode == 3
    assert python in ended.stderr
    assert "panicked" not in ended.stderr


@pytest.mark.skipif(not find_python(TOO_OLD), reason=f"no CPython {TOO_OLD} here")
def test_a_python_that_is_too_old_is_an_error_that_says_so() -> None:
    ended = run("hello:app", "--port", "0", "--python", str(find_python(TOO_OLD)))
    assert ended.returncode == 3
    assert TOO_OLD in ended.stderr and "3.11" in ended.stderr


# --- the wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree. With a warm target it takes seconds, else a minute or two."""
    where = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if not shutil.which("cargo") or subprocess.run([*pip, "--version"], capture_output=True).returncode:
        pytest.skip("building the wheel needs cargo and pip")
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", where, REPOSITORY], check=True)
    (built,) = where.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, venv_of: Venvs) -> Venvs:
    """A venv of an interpreter with the wheel installed in it, made once."""

    @functools.cache
    def install(python: Path) -> Path:
        where = venv_of(python)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--python",
            where / "bin" / "python",
        ]
        subprocess.run([*pip, "install", "--quiet", "--no-index", wheel], check=True)
        return where

    return install


@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", [*SUPPORTED, "system"])
@pytest.mark.parametrize("as_module", [False, True], ids=["as a command", "as a module"])
def test_the_installed_wheel_serves_its_own_environment(
    server, installed: Venvs, version: str, as_module: bool
) -> None:
    python = SYSTEM_PYTHON if version == "system" else find_python(version)
    if python is None or version_of(python) not in SUPPORTED:
        pytest.skip(f"no CPython for {version} here")
    venv = installed(python)
    programs = venv / "bin"
    command = [programs / "python", "-m", "lowmem_serve"] if as_module else [programs / "lowmem-serve"]
    started = server("environment:app", command=list(map(str, command)), env={"LOWMEM_PYTHON": None})
    assert_serves_from(started, venv)


@pytest.mark.timeout(900)
def test_the_wheel_is_one_for_every_python(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name
