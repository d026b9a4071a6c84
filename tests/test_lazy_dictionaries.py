"""Lazy imports: every operation on a module's namespace gives the same as with imports at once.

The operations are those that CPython's own tests of lazy imports name, and what frameworks do.
"""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from conftest import Start
from harness import REPOSITORY
from harness.lazy_script import LazyScript

APP = """
import heavy
from heavy import Thing, value
import colorsys as colours
def use(): return heavy, Thing, value, colours
def merged(): return {"heavy": 0, "value": 0} | globals()
"""
HEAVY = """
value = 7
class Thing:
    def __init__(self, size=1): self.size = size
"""

# Each sets `result`, given the module and its namespace.
OPERATIONS = {
    "a copy": "result = space.copy()['Thing']().size",
    "a constructor": "result = dict(space)['heavy'].value",
    "copy.copy": "import copy\nresult = copy.copy(space)['value']",
    "a merge": "result = ({'heavy': 0} | space)['heavy'].value",
    "a merge and its parts at once": "result = [({'Thing': 0} | space)['Thing'](3).size, merge['value'] if "
    "(merge := {'value': 0} | space) else 0]",
    "a merge from the left": "result = (space | {'own': 1})['heavy'].value",
    "a merge that wins": "result = (space | {'heavy': 'mine'})['heavy']",
    "a merge in place": "other = {'Thing': 0, 'value': 0}\nother |= space\nresult = [other['Thing']().size, other['value']]",
    "an update": "other = {'heavy': 0, 'x': 1}\nother.update(space)\nresult = [other['heavy'].value, other['x']]",
    "an update twice": "other = {}\nother.update(space)\nother.update(space)\nresult = other['heavy'].value",
    "an update of itself": "space.update(space)\nresult = module.use()[2]",
    "an update from outside": "space.update({'heavy': 'mine'})\nresult = module.use()[0]",
    "a display": "import typing\nspread = {**vars(typing), **{'value': 0}, **space}\nresult = spread['value']",
    "a display on both sides": "result = {**space, **{'value': 1}, **space}['value']",
    "by a function of its own": "result = [module.merged()['heavy'].value, module.merged()['value']]",
    "equality": "result = [space == dict(space), space == {}, {'value': 7} == {'value': space['value']}]",
    "get": "result = [space.get('value'), space.get('nothing', 1)]",
    "setdefault": "result = space.setdefault('value', 1)",
    "pop": "result = [space.pop('value'), 'value' in space, space.pop('value', None)]",
    "popitem": "space['last'] = 1\nresult = space.popitem()",
    "del": "del space['heavy']\nresult = ['heavy' in space, hasattr(module, 'heavy')]",
    "in": "result = ['heavy' in space, 'nothing' in space]",
    "keys": "result = sorted(key for key in space.keys() if not key.startswith('_'))",
    "keys as a set": "result = sorted(space.keys() & {'heavy', 'value', 'nothing'})",
    "a set of keys": "result = 'value' in set(space)",
    "keys compared while they are iterated over": "result = [key for key in space if key == 'value']",
    "keys compared twice": "result = [key for _ in range(2) for key in space if key in ('heavy', 'Thing')]",
    "items": "result = [item[1] for item in space.items() if item[0] == 'value']",
    "values": "result = any(each == 7 for each in space.values())",
    "classes among values": "result = [each.__name__ for each in space.values() if isinstance(each, type)]",
    "modules among values": "import types\nresult = sorted(each.__name__ for each in space.values() "
    "if isinstance(each, types.ModuleType))",
    "reversed": "result = next(key for key in reversed(space) if key == 'colours')",
    "len": "result = len([key for key in space if not key.startswith('__')])",
    "fromkeys": "result = dict.fromkeys(space, 1)['heavy']",
    "sorted": "result = [key for key in sorted(space) if key[0] == 'h']",
    "repr": "result = \"'value': 7\" in repr({**space})",
    "keyword arguments": "result = (lambda value, **others: value)(**{k: v for k, v in space.items() if k == 'value'})",
    "all as keyword arguments": "result = (lambda **named: named['value'])(**space)",
    "one of them a parameter": "result = (lambda value, Thing, **others: [value, Thing(2).size])(**space)",
    "a base class": "class Sub(({'Thing': 0} | space)['Thing']): pass\nresult = Sub().size",
    "an instance check": "import heavy\nresult = isinstance(heavy.Thing(), ({'Thing': 0} | space)['Thing'])",
    "a type among others": "merged = {'Thing': 0} | space\nlen('')\nresult = type(merged['Thing']).__name__",
    "a union": "import types\nresult = repr(({'Thing': 0} | space)['Thing'] | None)",
    "an annotation": "import typing\ndef view(thing: 'Thing'): ...\n"
    "result = typing.get_type_hints(view, {'Thing': 0} | space)['thing'] is module.Thing",
    "eval": "result = eval('value + 1', space)",
    "exec": "exec('again = heavy.value', space)\nresult = space['again']",
    "ChainMap": "import collections\nresult = collections.ChainMap({}, space)['value']",
    "reload": "import importlib\nmodule.use()\nimportlib.reload(module)\nresult = ({'value': 0} | space)['value']",
    "clear": "space.clear()\nresult = len(space)",
}
# The server has `heal` called as a pending call of the interpreter.
LAZILY = """
import ctypes, functools
from lowmem_serve import lazy
def pending(_):
    from lowmem_serve.lazy import names
    names.heal()
    return 0
def later(): pass
pending = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(pending)
class Soon: __getitem__ = functools.partial(ctypes.pythonapi.Py_AddPendingCall, pending)
ctypes.pythonapi.Py_AddPendingCall.argtypes = (ctypes.c_void_p, ctypes.c_int)
lazy.install(["app"], "app", {directory!r}, None, (Soon(), later))
"""
SCRIPT = """
operations = {operations!r}
for name, operation in operations.items():
    for each in ("app", "heavy", "colorsys"):
        sys.modules.pop(each, None)
    import app as module
    space = vars(module)
    names = {{"module": module, "space": space}}
    try:
        exec(operation, names)
        result = names["result"]
    except Exception as error:
        result = f"{{type(error).__name__}}: {{error}}"
    print(json.dumps([name, repr(result)]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What each operation comes to, at once and lazily."""
    directory = tmp_path_factory.mktemp("dictionaries")
    (directory / "app.py").write_text(dedent(APP))
    (directory / "heavy.py").write_text(dedent(HEAVY))
    lazily = LAZILY.format(directory=str(directory))
    script = "import json, sys\n" + SCRIPT.format(operations=OPERATIONS)
    results = {}
    for name, preface in {"at once": "", "lazily": lazily}.items():
        finished = subprocess.run(
            [sys.executable, "-c", preface + script],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": f"{REPOSITORY / 'python'}:{directory}", "PATH": "/usr/bin:/bin"},
            timeout=120,
            check=True,
        )
        results[name] = dict(json.loads(line) for line in finished.stdout.splitlines())
    return results


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_gives_the_same_as_with_imports_at_once(
    told: dict[str, dict[str, str]], operation: str
) -> None:
    assert told["lazily"][operation] == told["at once"][operation]
    assert "Error" not in told["lazily"][operation]


def test_a_name_that_waits_is_not_imported_by_what_does_not_look_for_it(run_lazily: LazyScript) -> None:
    script = """
    import app
    space = vars(app)
    space.copy(); dict(space); {"own": 1} | space; {**space}; list(space); len(space); space == {}
    show(loaded("heavy"))
    """
    assert run_lazily(script, app=APP, heavy=HEAVY) == [False]


def test_a_merge_imports_the_names_that_both_have_and_no_other(run_lazily: LazyScript) -> None:
    script = """
    import app
    merged = {"colours": 1} | vars(app)
    show([*loaded("heavy", "colorsys")])
    """
    sys_free = "import sys\nsys.modules.pop('colorsys', None)\n"
    assert run_lazily(sys_free + dedent(script), app=APP, heavy=HEAVY) == [False, True]


def test_an_iteration_survives_the_tidying_between_turns(run_lazily: LazyScript) -> None:
    script = """
    import app
    app.use()
    seen = []
    for key in vars(app):
        lazy.settle()
        seen.append(key == "nothing")
    show([len(seen) == len(vars(app)), {type(key).__name__ for key in vars(app)} == {"Name", "str"}])
    lazy.settle()
    show(sorted({type(key).__name__ for key in vars(app)}))
    """
    assert run_lazily(script, app=APP, heavy=HEAVY) == [[True, True], ["str"]]


def test_copies_become_plain_too(run_lazily: LazyScript) -> None:
    script = """
    import app
    space = {"__name__": "other"}
    exec("from app import *\\ndef again(): return value, heavy.value", space)
    show([space["again"](), space["again"]()])
    lazy.settle()
    show([sorted({type(key).__name__ for key in space}), space["again"]()])
    """
    again = [7, 7]
    plain = "def use(): return heavy, Thing, value, colours\nfrom heavy import Thing, value\nimport heavy, colorsys as colours"
    assert run_lazily(script, app=plain, heavy=HEAVY) == [[again, again], [["Name", "str"], again]]


def test_merges_are_whole_in_every_thread_of_a_server(server: Start, tmp_path: Path) -> None:
    """The merge of a WSGI application's threads, and the next request's use of what it has kept."""
    (tmp_path / "heavy.py").write_text(dedent(HEAVY))
    (tmp_path / "merging.py").write_text(
        "import heavy\nfrom heavy import Thing, value\nkept = {}\n"
        "def app(environ, start_response):\n"
        "    if not kept:\n"
        "        kept.update({'heavy': 0, 'Thing': 0, 'value': 0} | globals())\n"
        "    answer = repr([kept['heavy'].value, kept['Thing']().size, kept['value'], type(kept['Thing'])])\n"
        "    start_response('200 OK', [])\n"
        "    return [answer.encode()]\n"
        "def use(): return heavy, Thing, value\n"
    )
    started = server("merging:app", "--lazy-imports", "merging", cwd=tmp_path)
    assert started.get("/").text.startswith("[7, 1, 7, <class '")
    assert started.get("/").text == "[7, 1, 7, <class 'type'>]"
