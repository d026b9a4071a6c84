"""Lazy imports: which modules' imports are put off, and where their transformed code is kept."""

from pathlib import Path

from harness.lazy_script import LazyScript


def test_what_is_loaded_already_is_bound_at_once(run_lazily: LazyScript) -> None:
    app = "import heavy\nimport os\ndef use(): return heavy, os"
    script = "import heavy, app\nshow([type(key).__name__ for key in vars(app) if key in ('heavy', 'os')])"
    assert run_lazily(script, app=app) == ["str", "str"]


def test_a_chain_of_lazy_modules_is_followed_only_as_far_as_needed(run_lazily: LazyScript) -> None:
    app = "from helper import value, other\ndef use(): return value\ndef more(): return other"
    helper = "from heavy import value\nfrom light import other\n__all__ = ['value', 'other']"
    script = "import app\nshow([app.use(), *loaded('helper', 'heavy', 'light')])"
    assert run_lazily(script, app=app, helper=helper, light="other = 2") == [1, True, True, False]


def test_only_imports_of_an_installed_package_that_is_named_are_put_off(
    run_lazily: LazyScript, tmp_path: Path
) -> None:
    files = {
        "app": "import heavy\nimport light\ndef use(): return heavy, light",
        "light": "",
        "site-packages/heavy": "import inner\ndef use(): return inner",
        "site-packages/inner": "",
    }
    script = f"""
    sys.path.insert(0, {str(tmp_path / "site-packages")!r})
    import app
    show(loaded("heavy", "light"))
    app.use()
    show(loaded("heavy", "inner"))
    """
    (tmp_path / "heavy.py").unlink(missing_ok=True)
    assert run_lazily(script, words="heavy", **files) == [[False, True], [True, True]]


def test_a_package_with_a_star_is_lazy_wherever_it_is(run_lazily: LazyScript, tmp_path: Path) -> None:
    files = {"site-packages/pack": "import inner\ndef use(): return inner", "site-packages/inner": ""}
    script = f"""
    sys.path.insert(0, {str(tmp_path / "site-packages")!r})
    import pack
    show(loaded("inner"))
    """
    assert run_lazily(script, words="pack.*", **files) == [False]
    assert run_lazily(script, words="pack", **files) == [True]


def test_exclusions_win(run_lazily: LazyScript) -> None:
    app = "import heavy\nimport light\ndef use(): return heavy, light"
    script = "import app\nshow(loaded('heavy', 'light'))"
    assert run_lazily(script, words="app,-heavy", app=app, light="") == [True, False]
    assert run_lazily(script, words="app,-app", app=app, light="") == [True, True]


def test_modules_in_an_archive_and_extensions_stay_as_they_are(
    run_lazily: LazyScript, tmp_path: Path
) -> None:
    app = "import array\nimport packed\nimport zipapp\ndef use(): return array, packed"
    script = f"""
    import zipfile
    with zipfile.ZipFile({str(tmp_path / "archive.zip")!r}, "w") as archive:
        archive.writestr("packed.py", "import heavy\\ndef use(): return heavy")
    sys.path.insert(0, {str(tmp_path / "archive.zip")!r})
    import app
    show([app.use()[0].__name__, *loaded("packed", "heavy")])
    """
    assert run_lazily(script, words="app,packed", app=app) == ["array", True, True]


def test_runpy_and_resources_find_what_they_look_for(run_lazily: LazyScript, tmp_path: Path) -> None:
    app = "import heavy\nif __name__ == '__main__':\n    ran = heavy.value\ndef use(): return heavy"
    script = """
    import app, runpy, importlib.resources, importlib.util, pkgutil
    show(runpy.run_module("app", run_name="__main__")["ran"])
    show([app.__loader__.get_source("app").startswith("import heavy"), importlib.util.find_spec("app").origin == app.__file__])
    """
    assert run_lazily(script, app=app) == [1, [True, True]]


def cached(directory: Path) -> list[Path]:
    return sorted(directory.glob("__pycache__/app.*lazy*.pyc"))


def test_transformed_code_is_cached_and_made_anew_when_the_source_changes(
    run_lazily: LazyScript, tmp_path: Path
) -> None:
    script = "import app\nshow(app.use())"
    assert run_lazily(script, app="import heavy\ndef use(): return heavy.value") == 1
    (file,) = cached(tmp_path)
    first = file.read_bytes()
    assert run_lazily(script, app="import heavy\ndef use(): return heavy.value + 1") == 2
    assert file.read_bytes() != first
    kept = file.stat().st_mtime_ns
    assert run_lazily(script, app="import heavy\ndef use(): return heavy.value + 1") == 2
    # A truncated file, and one of another format, are as good as none.
    for broken in (file.read_bytes()[:40], b"\0" * 100, b""):
        file.write_bytes(broken)
        assert run_lazily(script) == 2
        assert len(file.read_bytes()) > 100
    assert kept


def test_no_cache_is_written_where_python_writes_none(run_lazily: LazyScript, tmp_path: Path) -> None:
    app = "import heavy\ndef use(): return heavy.value"
    assert run_lazily("import app\nshow(app.use())", flags=("-B",), app=app) == 1
    assert cached(tmp_path) == []


def test_a_directory_that_cannot_be_written_is_no_error(run_lazily: LazyScript, tmp_path: Path) -> None:
    (tmp_path / "__pycache__").write_text("a file where the directory should be")
    app = "import heavy\ndef use(): return heavy.value"
    assert run_lazily("import app\nshow([*loaded('heavy'), app.use()])", app=app) == [False, 1]


def test_modules_are_transformed_in_another_process_with_the_same_result(
    run_lazily: LazyScript, tmp_path: Path
) -> None:
    app = "import heavy\ndef use(): return heavy.value"
    script = f"""
    import marshal, subprocess
    sys.meta_path[:] = [each for each in sys.meta_path if type(each).__module__ != "lowmem_serve.lazy.finder"]
    other = (
        "import marshal, sys; from lowmem_serve.lazy.finder import transformed_source;"
        "source, arguments = marshal.loads(sys.stdin.buffer.read());"
        "sys.stdout.buffer.write(marshal.dumps(transformed_source(source, *arguments)))"
    )
    def apart(*request):
        done = subprocess.run([sys.executable, "-c", other], input=marshal.dumps(request), capture_output=True)
        return marshal.loads(done.stdout)
    lazy.install(["app"], "app", {str(tmp_path)!r}, apart)
    import app
    show([*loaded("heavy"), "_ast" in sys.modules, app.use()])
    """
    assert run_lazily(script, app=app) == [False, False, 1]


def test_a_syntax_error_is_told_as_ever(run_lazily: LazyScript) -> None:
    script = """
    try:
        import app
    except SyntaxError as error:
        show([error.lineno, error.filename.endswith("app.py")])
    """
    assert run_lazily(script, app="import heavy\ndef (:\n") == [2, True]


def test_an_interpreter_with_lazy_imports_of_its_own_is_told_the_same_choice(run_lazily: LazyScript) -> None:
    script = """
    told = []
    sys.set_lazy_imports = told.append
    sys.set_lazy_imports_filter = told.append
    lazy.install(["app", "-light"], "app", "/srv")
    may_wait, mode = told
    show(mode)
    show([may_wait("app", "heavy", None), may_wait("app", "light", ("x",)), may_wait("other", "heavy", None),
          may_wait("app", "typing", ("Any",))])
    """
    assert run_lazily(script) == ["all", [True, False, False, False]]
