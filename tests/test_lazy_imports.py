"""Lazy imports, as a module's own code and those who look at it from outside see them.

Each test writes a few modules, makes the imports of `app` lazy in an interpreter of its own, and
reads what a script there prints.
"""

import pytest

from harness.lazy_script import LazyScript


def test_an_import_happens_at_the_first_use_in_a_function(run_lazily: LazyScript) -> None:
    app = "import heavy\nfrom heavy import work as do\ndef use(): return heavy.value, do()"
    script = """
    import app
    show(loaded("heavy"))
    show(app.use())
    show(loaded("heavy"))
    """
    assert run_lazily(script, app=app) == [[False], [1, "done"], [True]]


@pytest.mark.parametrize(
    "use",
    [
        "app.heavy",
        "getattr(app, 'heavy')",
        "vars(app)['heavy']",
        "vars(app).get('heavy')",
        "eval('heavy', vars(app))",
        "eval('[heavy for _ in range(1)][0]', dict(vars(app)))",
        "{**vars(app)}['heavy']",
        "app.own()",
        "app.made()()",
        "app.through_class()",
        "__import__('app', fromlist=['heavy']).heavy",
        "sys.modules['app'].heavy",
    ],
)
def test_every_way_of_looking_at_a_name_imports_it(run_lazily: LazyScript, use: str) -> None:
    app = """
    import heavy
    def own(): return globals()["heavy"]
    def made(): return lambda: heavy
    def through_class():
        class Inner:
            found = heavy
        return Inner.found
    """
    script = f"""
    import app
    show(loaded("heavy"))
    found = {use}
    import heavy
    show([found is heavy, {use} is heavy, app.heavy is heavy])
    """
    assert run_lazily(script, app=app) == [[False], [True, True, True]]


def test_an_error_is_raised_at_the_use_and_shows_the_import_line(run_lazily: LazyScript) -> None:
    app = '"""Doc."""\n\nimport missing_module\n\ndef use():\n    return missing_module.x\n'
    script = """
    import app, traceback
    for _ in range(2):
        try:
            app.use()
        except ImportError as error:
            show([error.name, error.__notes__, traceback.format_exc()])
    """
    for name, notes, text in run_lazily(script, app=app):
        assert name == "missing_module"
        assert "import missing_module" in notes[0] and "line 3" in notes[0]
        assert 'app.py", line 6, in use' in text and 'app.py", line 3' in text


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("try:\n    import heavy\nexcept ImportError:\n    heavy = None", "a guarded import"),
        ("if True:\n    import heavy", "one in an if"),
        ("import contextlib\nwith contextlib.suppress(ImportError):\n    import heavy", "one in a with"),
        ("from heavy import *", "a star import"),
        ("import heavy\nprint_later = heavy.value", "one that is used at once"),
        ("import heavy\nclass A(heavy.value.__class__): pass", "a base class"),
        ("import heavy\ndef f(x=heavy.value): pass", "a default"),
        ("import heavy\nclass A:\n    x = heavy.value", "one that a class body uses"),
        ("import heavy\nrest = [heavy for _ in '1']", "one in a comprehension"),
        ("import heavy\nheavy = heavy", "a name that is bound again"),
        ("import heavy\ndel heavy", "a name that is deleted"),
        ("import heavy\ndef f():\n    global heavy\n    heavy = 1", "a name that a function binds"),
        ("import heavy\nif len('x') == 0:\n    heavy = None", "a name that is bound on a condition"),
        ("import heavy\nnames = list(globals())", "one in a module that looks into its namespace"),
        ("import heavy", "one that the module does not use: it may be there for its side effect"),
    ],
)
def test_these_imports_are_not_put_off(run_lazily: LazyScript, code: str, name: str) -> None:
    assert run_lazily("import app\nshow(loaded('heavy'))", app=code) == [True], name


def test_imports_for_type_checkers_never_happen(run_lazily: LazyScript) -> None:
    app = """
    from __future__ import annotations
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        import heavy
    def use(x: heavy.Thing) -> None: pass
    """
    script = "import app\napp.use(1)\nshow([*loaded('heavy'), hasattr(app, 'heavy')])"
    assert run_lazily(script, app=app) == [False, False]


def test_annotations_wait_until_somebody_asks_for_their_types(run_lazily: LazyScript) -> None:
    app = """
    from __future__ import annotations
    import dataclasses, typing
    from heavy import Thing
    def use(thing: Thing) -> list[Thing]: ...
    class Plain:
        thing: Thing
    """
    script = """
    import app, inspect, typing
    show(loaded("heavy"))
    show([typing.get_type_hints(app.use)["thing"].__name__, typing.get_type_hints(app.Plain)["thing"].__name__])
    show(inspect.signature(app.use, eval_str=True).parameters["thing"].annotation.__name__)
    """
    assert run_lazily(script, app=app, heavy="class Thing: pass") == [[False], ["Thing", "Thing"], "Thing"]


def test_dataclasses_know_their_class_variables(run_lazily: LazyScript) -> None:
    app = """
    from __future__ import annotations
    import dataclasses
    import typing as t
    from dataclasses import dataclass, InitVar
    from typing import ClassVar
    from heavy import Thing
    @dataclass
    class Point:
        x: Thing
        shared: ClassVar[int] = 1
        other: t.ClassVar[Thing | None] = None
        start: InitVar[int] = 0
        begin: dataclasses.InitVar[int] = 0
    """
    script = """
    import app, dataclasses
    show([field.name for field in dataclasses.fields(app.Point)])
    """
    assert run_lazily(script, app=app, heavy="class Thing: pass") == ["x"]


def test_inspect_and_source_lines_are_those_of_the_file(run_lazily: LazyScript) -> None:
    app = "import heavy\nfrom heavy import (\n    value,\n    work,\n)\n\n\ndef use():\n    return heavy, value, work()\n"
    script = """
    import app, inspect
    show([inspect.getsourcelines(app.use)[1], inspect.getsource(app).count("import"), inspect.getmodule(app.use).__name__])
    show(sorted(dict(inspect.getmembers(app, inspect.isfunction))))
    lines = []
    def trace(frame, event, argument):
        if frame.f_code.co_filename.endswith("app.py"):
            lines.append(frame.f_lineno)
        return trace
    del sys.modules["app"], app
    sys.settrace(trace)
    import app
    sys.settrace(None)
    show(lines)
    """
    where, functions, lines = run_lazily(script, app=app)
    assert where == [8, 2, "app"]
    assert functions == ["use", "work"]
    # Coverage sees the lines of the imports executed, though nothing is imported.
    assert {1, 2, 8} <= set(lines)


def test_what_is_pickled_comes_back(run_lazily: LazyScript) -> None:
    app = "from heavy import Thing\nimport heavy\nclass Own:\n    def make(self): return Thing()\n    again = lambda: heavy\n"
    script = """
    import app, pickle
    own = pickle.loads(pickle.dumps(app.Own()))
    thing = pickle.loads(pickle.dumps(own.make()))
    show([type(own).__name__, type(thing) is app.Thing, pickle.loads(pickle.dumps(dir(app))) == dir(app)])
    """
    assert run_lazily(script, app=app, heavy="class Thing: pass") == ["Own", True, True]


def test_a_modules_own_getattr_and_dir_are_asked_as_ever(run_lazily: LazyScript) -> None:
    app = """
    import heavy
    def use(): return heavy
    def __getattr__(name):
        if name == "computed": return 42
        raise AttributeError(name)
    def __dir__(): return ["computed"]
    """
    script = "import app\nshow([app.computed, dir(app), hasattr(app, 'nothing'), *loaded('heavy')])"
    assert run_lazily(script, app=app) == [42, ["computed"], False, False]


def test_dir_and_all_know_the_names_before_they_are_imported(run_lazily: LazyScript) -> None:
    app = "from heavy import value, work\n__all__ = ['value', 'work', 'own']\ndef own(): return value, work\n"
    script = """
    import app
    show(sorted(name for name in dir(app) if name[0] != "_"))
    show([*loaded("heavy")])
    from app import *
    show([value, work(), own()[0], *loaded("heavy")])
    """
    assert run_lazily(script, app=app) == [["own", "value", "work"], [False], [1, "done", 1, True]]


def test_a_star_import_from_a_lazy_module_gets_its_public_names(run_lazily: LazyScript) -> None:
    app = "from heavy import value, work\n_hidden = 1\ndef own(): return value, work\n"
    script = """
    import app
    namespace = {"__name__": "other"}
    exec("from app import *\\ndef use(): return value, work(), value", namespace)
    show([namespace["use"](), namespace["use"](), "_hidden" in namespace])
    """
    assert run_lazily(script, app=app) == [[1, "done", 1], [1, "done", 1], False]


def test_circular_imports_resolve_and_true_cycles_fail_as_ever(run_lazily: LazyScript) -> None:
    script = """
    import app
    show(app.use())
    show([helper_error()])
    """.replace("helper_error()", "type(sys.modules['helper'].name).__name__")
    app = "import helper\nname = 'app'\ndef use(): return helper.other()"
    helper = "import app\nname = 'helper'\ndef other(): return app.name + name"
    assert run_lazily(script, app=app, helper=helper) == ["apphelper", ["str"]]


def test_reload_puts_off_again(run_lazily: LazyScript) -> None:
    app = "import heavy\ndef use(): return heavy.value"
    script = """
    import app, importlib
    app.use()
    del sys.modules["heavy"]
    importlib.reload(app)
    show(loaded("heavy"))
    show([app.use(), app.use()])
    importlib.reload(app)
    show([app.use(), *loaded("heavy")])
    """
    assert run_lazily(script, app=app) == [[False], [1, 1], [1, True]]


def test_a_packages_submodules_stay_within_reach(run_lazily: LazyScript) -> None:
    files = {
        "app/__init__": "from .first import one\nfrom . import second\nfrom .third import third\n"
        "import app.fourth\n__all__ = ['one', 'second', 'third']\ndef use(): return one, second, app",
        "app/first": "one = 1",
        "app/second": "two = 2",
        "app/third": "third = 'the function, not the module'",
        "app/fourth": "four = 4",
    }
    script = """
    import app
    show(loaded("app.first", "app.second", "app.third", "app.fourth"))
    show([app.first.one, app.second.two, app.third, app.fourth.four, hasattr(app, "fifth")])
    import app.third
    show(app.use()[0])
    """
    # The name `third` is that of a submodule, too: in which order they are bound decides.
    loaded, values, used = run_lazily(script, **files)
    assert loaded == [False, False, True, False]
    assert values == [1, 2, "the function, not the module", 4, False]
    assert used == 1


def test_a_submodule_that_was_put_off_is_an_attribute_of_a_package_that_is_not_lazy(
    run_lazily: LazyScript,
) -> None:
    files = {
        "app": "import pack.sub\nfrom pack import other\ndef use(): return pack.sub.name, other.name",
        "pack/__init__": "",
        "pack/sub": "name = 'sub'",
        "pack/other": "name = 'other'",
        "pack/unasked": "",
    }
    script = """
    import pack, app
    show(loaded("pack.sub", "pack.other"))
    show([pack.sub.name, pack.other.name, hasattr(pack, "unasked"), app.use()])
    """
    assert run_lazily(script, **files) == [[False, False], ["sub", "other", False, ["sub", "other"]]]


def test_import_a_b_binds_a_and_loads_both_at_the_first_use(run_lazily: LazyScript) -> None:
    files = {
        "app": "import pack.sub\nimport pack.other as o\ndef use(): return pack.sub.name, o.name",
        "pack/__init__": "",
        "pack/sub": "name = 'sub'",
        "pack/other": "name = 'other'",
    }
    script = "import app\nshow(loaded('pack'))\nshow(app.use())"
    assert run_lazily(script, **files) == [[False], ["sub", "other"]]


def test_two_imports_for_one_name_are_done_in_their_order(run_lazily: LazyScript) -> None:
    files = {
        "app": "import pack.sub\nimport pack.other\nfrom pack.sub import name\nfrom pack.other import name\n"
        "def use(): return pack.sub.name, pack.other.name, name",
        "pack/__init__": "",
        "pack/sub": "name = 'sub'",
        "pack/other": "name = 'other'",
    }
    assert run_lazily("import app\nshow(app.use())", **files) == ["sub", "other", "other"]


def test_exec_with_a_namespace_of_its_own_sees_what_it_is_given(run_lazily: LazyScript) -> None:
    app = """
    import heavy
    def use():
        given = {"heavy": heavy, "__builtins__": {}}
        exec("found = heavy.value", given)
        return given["found"]
    def missing():
        try:
            exec("heavy", {"__builtins__": {}})
        except NameError as error:
            return str(error)
    """
    script = "import app\nshow([app.missing(), *loaded('heavy'), app.use()])"
    assert run_lazily(script, app=app) == ["name 'heavy' is not defined", False, 1]


def test_names_set_and_patched_from_outside(run_lazily: LazyScript) -> None:
    app = "import heavy\nfrom heavy import value\ndef use(): return heavy.value, value"
    script = """
    import app
    from unittest import mock
    with mock.patch("app.value", 7):
        show(app.use())
    show(app.use())
    app.value = 9
    del app.heavy
    try:
        app.use()
    except NameError as error:
        show([app.value, str(error)])
    """
    assert run_lazily(script, app=app) == [[1, 7], [1, 1], [9, "name 'heavy' is not defined"]]


def test_many_threads_meet_a_name_at_once(run_lazily: LazyScript) -> None:
    app = "import heavy\nfrom heavy import value\ndef use(): return heavy.value + value"
    heavy = "import time\ntime.sleep(0.05)\nvalue = 1\ncount = globals().get('count', 0) + 1"
    script = """
    import app, threading
    sys.setswitchinterval(1e-6)
    barrier, results = threading.Barrier(16), []
    def work():
        barrier.wait()
        for _ in range(100):
            results.append(app.use())
    threads = [threading.Thread(target=work) for _ in range(16)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    show([len(results), set(results) == {2}, app.heavy.count])
    """
    assert run_lazily(script, app=app, heavy=heavy) == [1600, True, 1]


def test_lookups_are_plain_again_when_nothing_waits(run_lazily: LazyScript) -> None:
    app = "import heavy\nfrom heavy import value\ndef use(): return heavy.value + value"
    script = """
    import app
    before = {type(key).__name__ for key in vars(app)}
    for _ in range(3): app.use()
    lazy.settle()
    after = {type(key).__name__ for key in vars(app)}
    plain = dict.fromkeys(str(key) for key in vars(app))
    show([sorted(before), sorted(after), sys.getsizeof(vars(app)) <= sys.getsizeof(plain) + 600])
    """
    assert run_lazily(script, app=app) == [["Name", "str"], ["str"], True]
