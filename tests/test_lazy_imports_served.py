"""`--lazy-imports`, from the flag to what a worker has loaded."""

import json
from pathlib import Path

from conftest import Start
from harness import REPOSITORY, Server, processes, run

PACKAGE = REPOSITORY / "python" / "lowmem_serve"


def test_what_one_route_uses_is_loaded_by_its_first_request(server: Start) -> None:
    served = server("lazy_report:app", "--lazy-imports", "lazy_report")
    assert json.loads(served.get("/").body) == [False, False]
    assert json.loads(served.get("/use").body) == [[0.0, 0.0, 0.0], "Error"]
    assert json.loads(served.get("/").body) == [True, True]


def test_without_the_flag_everything_is_imported_at_once(server: Start) -> None:
    assert json.loads(server("lazy_report:app").get("/").body) == [True, True]


def test_the_environment_names_packages_and_exclusions(server: Start) -> None:
    served = server("lazy_report:app", env={"LOWMEM_LAZY_IMPORTS": "auto,lazy_report,-wave"})
    assert json.loads(served.get("/").body) == [False, True]


def test_a_recycled_worker_begins_without_them_again(server: Start) -> None:
    served = server("lazy_report:app", "--lazy-imports", "colorsys,wave", "--max-requests", "2")
    assert json.loads(served.get("/").body) == [False, False]
    assert json.loads(served.get("/use").body) == [[0.0, 0.0, 0.0], "Error"]
    served.stderr.wait_for_line("Recycled worker")
    assert json.loads(served.get("/").body) == [False, False]


def test_an_exception_says_which_imports_of_its_module_wait(server: Start, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "import colorsys, wave\n"
        "def use(): return colorsys, wave\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http' and scope['path'] == '/':\n"
        "        {}['registered by an import']\n"
        "    use()\n"
        "    raise ValueError('no import waits any more')\n"
    )
    started = server("failing:app", "--lazy-imports", "failing", "--lifespan", "off", cwd=tmp_path)
    assert started.get("/").status == 500
    note = "--lazy-imports: these imports wait in failing still: colorsys, wave. The word -failing "
    started.stderr.wait_for_line(note)
    assert started.get("/use").status == 500
    started.stderr.wait_for_line("no import waits any more")
    assert len(started.stderr.matches("these imports wait")) == 1


def test_where_nothing_can_be_kept_it_is_told_once(server: Start, tmp_path: Path) -> None:
    lazy = ("lazy_report:app", "--lazy-imports", "lazy_report")
    cold = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cold")}
    silent = server(*lazy, env=cold)
    assert "cannot be kept" not in silent.stderr.text
    told = server(*lazy, env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(tmp_path / "other")})
    told.get("/use")
    line = r"WARNING: .*transformed modules cannot be kept, because .*\(PYTHONDONTWRITEBYTECODE\); .*PYTHONPYCACHEPREFIX"
    assert len(told.stderr.matches(line)) == 1
    (tmp_path / "file").write_text("")
    told = server(*lazy, env={"PYTHONPYCACHEPREFIX": str(tmp_path / "file" / "below")})
    assert len(told.stderr.matches(r"because /.*file.* cannot be written \(Not a directory\)")) == 1


def test_words_without_meaning_are_wrong_usage() -> None:
    finished = run("hello:app", "--lazy-imports", "auto,no-such", "--workers", "0")
    assert finished.returncode == 2
    assert '--lazy-imports: "no-such" is no package' in finished.stderr
    assert "--workers" in finished.stderr


def test_a_missing_package_of_ours_is_told_before_anything_starts(tmp_path: Path) -> None:
    elsewhere = {"LOWMEM_SERVE_PACKAGE": str(tmp_path)}
    finished = run("hello:app", "--port", "0", "--lazy-imports", "auto", env=elsewhere)
    assert finished.returncode == 3
    assert str(tmp_path) in finished.stderr and "LOWMEM_SERVE_PACKAGE" in finished.stderr


def test_a_worker_that_needs_nothing_of_our_package_does_not_look_for_it(
    server: Start, tmp_path: Path
) -> None:
    served = server("hello:app", env={"LOWMEM_SERVE_PACKAGE": str(tmp_path)})
    assert served.get("/").status == 200


def test_the_package_is_loaded_without_a_word_on_sys_path(server: Start) -> None:
    served = server("lazy_report:app", "--lazy-imports", "auto")
    shown = json.loads(served.get("/path").body)
    assert Path(shown["package"]) == PACKAGE / "__init__.py"
    # An environment may have the package's folder on its own path, as that of the source tree does.
    without = json.loads(server("lazy_report:app").get("/path").body)
    assert shown["path"] == without["path"]


def private_dirty(server: Server) -> int:
    """The KiB that the one worker has written to and shares with no other process."""
    (worker,) = processes.children(server.pid)
    lines = (processes.PROC / str(worker) / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


def test_quart_takes_a_fifth_less_memory(server: Start) -> None:
    example = REPOSITORY / "examples" / "quart_app"
    # The first start of each fills the caches on disk.
    for words in ("off", "auto"):
        with Server("app:app", "--lazy-imports", words, cwd=example):
            pass
    eager, lazy = (server("app:app", "--lazy-imports", words, cwd=example) for words in ("off", "auto"))
    assert private_dirty(lazy) < 0.8 * private_dirty(eager)
