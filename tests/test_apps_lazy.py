"""Applications with lazy imports that share a template: what waits in workers by themselves is in it, once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.journal import until
from harness.machine import Machine
from harness.server import Server
from test_shared_heap import private

NAMES = ["alpha", "beta", "gamma"]

FACTS = """
import json, os, sys

MODULES = ["quart", "hypercorn", "wave", "outer", "inner_helper"]

def facts():
    return {
        "pid": os.getpid(),
        "forked": "lowmem_serve.rehearsal" in sys.modules,
        "modules": {name: getattr(sys.modules[name], "__file__", None) for name in MODULES if name in sys.modules},
    }
"""

BARE = f"""{FACTS}
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    use(scope["path"])
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": json.dumps(facts()).encode()}})
"""

QUART = f"""{FACTS}
import quart

app = quart.Quart(__name__)

@app.get("/")
async def index():
    return facts()
"""


def facts(machine: Machine, name: str, path: str = "/") -> dict[str, Any]:
    return json.loads(machine.get(name, path=path))


def until_forked(machine: Machine, *names: str) -> dict[str, dict[str, Any]]:
    def ask() -> dict[str, dict[str, Any]] | None:
        found = {name: facts(machine, name) for name in names}
        return found if all(each["forked"] for each in found.values()) else None

    return until(ask, 90)


def serve(start: Callable[..., Server], machine: Machine, lazy: dict[str, str], **options: Any) -> Server:
    """Serves applications with these words of --lazy-imports."""
    tables = [
        f"[apps.{name}]\n{machine.table(name, f'lazy-imports = {words!r}')}" for name, words in lazy.items()
    ]
    started = start("".join(tables), wait=False, **options)
    for name in lazy:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
    return started


def weights(machine: Machine, *names: str) -> dict[str, int]:
    """What workers have written to once they are forked, and have answered a few times."""

    def weighed() -> dict[str, int] | None:
        for _ in range(5):
            found = until_forked(machine, *names)
        try:
            return {name: private(each["pid"]) for name, each in found.items()}
        except (FileNotFoundError, ProcessLookupError, IndexError):
            # Replaced meanwhile.
            return None

    return until(weighed, 90)


def test_a_worker_with_lazy_imports_takes_no_more_of_its_own_than_one_without(serve_all, machine) -> None:
    names = [*NAMES, "delta"]
    for name in names:
        machine.module(name, QUART)
    lazy = dict.fromkeys(names[:2], "auto") | dict.fromkeys(names[2:], "off")
    serve(serve_all, machine, lazy)

    def is_as_light() -> bool:
        found = weights(machine, *names)
        return max(found[name] for name in names[:2]) < min(found[name] for name in names[2:]) * 1.25

    # Not all may be from the same template yet.
    until(is_as_light, 90)


def test_imports_of_a_forked_application_itself_wait(serve_all, machine) -> None:
    """Its template is another's, too, for whom other words hold."""
    for name in NAMES:
        machine.module(name, f"import wave\ndef use(path):\n    path == '/use' and wave.open\n{BARE}")
    lazy = {"alpha": "auto,alpha_app", "beta": "beta_app", "gamma": "off"}
    serve(serve_all, machine, lazy)
    until_forked(machine, *NAMES)
    # None but gamma has imported it by now, so that it is not in the template.
    assert "wave" not in facts(machine, "alpha")["modules"]
    assert "wave" not in facts(machine, "beta")["modules"]
    assert "wave" in facts(machine, "gamma")["modules"]
    assert "wave" in facts(machine, "alpha", "/use")["modules"]
    assert "wave" not in facts(machine, "beta")["modules"]


@pytest.fixture
def installed(machine: Machine) -> Path:
    """Where packages are installed."""
    packages = machine.directory / "common" / "site-packages"
    packages.mkdir(parents=True)
    return packages


def test_what_a_template_imports_at_once_does_not_hide_a_module_of_an_application(
    serve_all: Callable[..., Any], machine: Machine, installed: Path
) -> None:
    (installed / "outer.py").write_text("import inner_helper\ndef use(): return inner_helper\n")
    (installed / "inner_helper.py").write_text("")
    for name in NAMES[:2]:
        machine.module(name, f"import outer\nuse = str\n{BARE}")
    own = machine.module("gamma", f"import inner_helper\nuse = str\n{BARE}")
    (own / "inner_helper.py").write_text("")
    lazy = dict.fromkeys(NAMES, "outer.*")
    started = serve(serve_all, machine, lazy, env={"PYTHONPATH": str(installed)})
    # Neither of the two has imported it, and the template has.
    found = until_forked(machine, *NAMES[:2])
    assert found["alpha"]["modules"]["inner_helper"] == str(installed / "inner_helper.py")
    started.stderr.wait_for_line(r"Not forked from the template .*inner_helper\.py stands before", 60)
    assert facts(machine, "gamma")["modules"]["inner_helper"] == str(own / "inner_helper.py")


@pytest.mark.parametrize("lazy", ["off", "auto"])
def test_a_template_is_made_where_no_bytecode_is_cached(serve_all, machine, tmp_path, lazy) -> None:
    """Its modules are compiled in a process beside it, whose socket is not one that an import has opened."""
    heavy = "import asyncio, email.message, http.client, logging.config, multiprocessing, unittest.mock, xml.dom.minidom"
    for name in NAMES:
        machine.module(name, f"{heavy}\nuse = str\n{BARE}")
    cold = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cold"), "PYTHONDONTWRITEBYTECODE": "1"}
    started = serve(serve_all, machine, dict.fromkeys(NAMES, lazy), env=cold)
    until_forked(machine, *NAMES)
    assert "there can be no template" not in started.output
