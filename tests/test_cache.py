"""lowmem_serve.cache: the cache on disk, in this process, in several, and in workers."""

import asyncio
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import Server
from harness.server import PACKAGE, REPOSITORY
from harness.server import run as run_command

sys.path.insert(0, str(REPOSITORY / "python"))
built = REPOSITORY / "target" / "release" / "lib_core.so"
if binary := os.environ.get("LOWMEM_SERVE_BIN"):
    built = Path(binary).with_name("lib_core.so")
os.environ.setdefault("LOWMEM_SERVE_CORE", str(built))

from lowmem_serve import cache  # noqa: E402

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY / "python")}


def run(source: str, *arguments: object) -> subprocess.Popen:
    """Another process with the cache."""
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def pages(tmp_path):
    opened = cache.open("pages", size="4M", directory=tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        "text ü €",
        0,
        -1,
        2**63 - 1,
        -(2**63),
        2**64 - 1,
        -(2**200),
        1.5,
        float("inf"),
        True,
        False,
        None,
        [],
        {},
        [1, [2.5, None], {"a": b"b"}],
        {"k": {1: [True], (2, "x"): None}, None: "n"},
        list(range(70_000)),
        "x" * 70_000,
        {str(number): number for number in range(70_000)},
    ],
)
def test_a_value_comes_back_as_it_was_stored(tmp_path, value):
    store = cache.open("values", size="16M", directory=tmp_path)
    assert store.set("k", value)
    found = store.get("k")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("value", [(1,), {1}, object(), [{"a": (1,)}], type("Text", (str,), {})("x")])
def test_other_types_need_pickle_and_say_so(tmp_path, value):
    plain = cache.open("plain", directory=tmp_path)
    with pytest.raises(TypeError, match="pickle=True"):
        plain.set("k", value)


def test_a_cache_with_pickle_keeps_any_type_and_one_without_does_not_read_them(tmp_path):
    cache.open("shared", directory=tmp_path, pickle=True).set("k", {"a": (1, {2})})
    assert cache.open("shared", directory=tmp_path, pickle=True).get("k") == {"a": (1, {2})}
    assert cache.open("shared", directory=tmp_path).get("k", "default") == "default"


def test_keys_of_different_types_are_different_keys(pages):
    keys = ["1", b"1", 1, 1.0, True, None, ("1",), (1, ("a", None))]
    for number, key in enumerate(keys):
        pages.set(key, number)
    assert [pages.get(key) for key in keys] == list(range(len(keys)))
    assert set(map(repr, pages.keys())) == set(map(repr, keys))
    with pytest.raises(TypeError, match="a key is"):
        pages.get(["a list"])


def test_every_method_does_what_it_says(pages):
    assert pages.get("a") is None and pages.get("a", 7) == 7 and "a" not in pages
    assert pages.add("a", 1) and not pages.add("a", 2) and pages.get("a") == 1
    assert pages.incr("a", 4) == 5 and pages.incr("n", -2) == -2
    assert pages.incr("missing", default=None) is None
    assert pages.set_many({"x": 1, "y": 2}, tag="t") == []
    assert pages.get_many(["x", "y", "z"]) == {"x": 1, "y": 2}
    assert pages.evict("t") and pages.get_many(["x", "y"]) == {}
    assert pages.delete("a") and not pages.delete("a")
    assert pages.touch("n", 100) and not pages.touch("nothing")
    stats = pages.stats()
    assert stats["entries"] >= 1 and 0 < stats["disk"] <= stats["size"] == 4 << 20
    assert pages.clear() and pages.stats()["entries"] == 0


def test_a_value_ends_with_its_time_to_live(tmp_path):
    store = cache.open("short", ttl=0.05, directory=tmp_path)
    store.set("longer", 1, ttl=600)
    store.set("endless", 1, ttl=float("inf"))
    store.set("gone", 1, ttl=0)
    assert store.get("gone") is None
    until = time.monotonic() + 40
    found = None
    while found is None and time.monotonic() < until:
        # It may be over before the look, where the machine does something else in between.
        store.set("default", 1)
        found = store.get("default")
    assert found == 1
    while store.get("default") == 1 and time.monotonic() < until:
        pass
    assert store.get_many(["default", "longer", "endless"]) == {"longer": 1, "endless": 1}


@pytest.mark.parametrize("wrong", ["../up", "", "a b", ".hidden", "x" * 65])
def test_a_name_that_is_none_is_an_error(tmp_path, wrong):
    with pytest.raises(ValueError, match="name"):
        cache.open(wrong, directory=tmp_path)


def test_sizes_and_times_are_read_as_people_write_them():
    assert cache.size_in_bytes("1.5G") == 3 << 29 and cache.size_in_bytes("64 M".replace(" ", "")) == 64 << 20
    assert cache.seconds("1d12h") == 129_600 and cache.seconds(2.5) == 2.5
    for wrong in ("", "soon", "5 apples", "1h x"):
        with pytest.raises(ValueError, match="time"):
            cache.seconds(wrong)
        with pytest.raises(ValueError, match="size"):
            cache.size_in_bytes(wrong)


def test_a_directory_that_cannot_be_written_is_a_miss_and_one_line(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    store = cache.open("pages", directory=tmp_path / "file")
    assert not store.set("k", 1) and store.get("k", 2) == 2 and store.incr("n") is None
    assert not store.clear() and not store.evict("t") and list(store.keys()) == []
    assert store.memoize()(lambda: 5)() == 5
    assert len(caplog.records) == 1 and "is not used" in caplog.records[0].getMessage()


def test_a_full_disk_is_a_miss_and_one_line(tmp_path, caplog):
    pages = cache.open("pages", size="1M", directory=tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Above the size of the index, below that of a segment with a large value.
    resource.setrlimit(resource.RLIMIT_FSIZE, (72_000, hard))
    try:
        kept = [pages.set(number, b"x" * (100 if number % 2 else 100_000)) for number in range(10)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert any(kept) and not all(kept)
    assert [pages.get(number) is not None for number in range(10)] == kept
    assert len([each for each in caplog.records if "could not keep" in each.getMessage()]) == 1
    assert pages.set("after", 1) and pages.get("after") == 1


def test_a_broken_cache_is_emptied_with_one_line(tmp_path, caplog):
    first = cache.open("pages", directory=tmp_path)
    first.set("k", 1)
    (tmp_path / "pages" / "index").write_bytes(b"nonsense")
    assert first.get("k") is None
    assert first.set("k", 2) and first.get("k") == 2
    second = cache.open("pages", directory=tmp_path)
    assert second.get("k") == 2
    assert ["emptied" in each.getMessage() for each in caplog.records] == [True]


def test_a_directory_others_can_write_to_is_refused(tmp_path):
    cache.open("pages", directory=tmp_path).close()
    assert (tmp_path / "pages").stat().st_mode & 0o777 == 0o700
    (tmp_path / "pages").chmod(0o777)
    with pytest.raises(cache.CacheError, match="0700"):
        cache.open("pages", directory=tmp_path)


def test_the_cache_of_another_application_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LOWMEM_SERVE_CACHE_OWNER", "shop")
    cache.open("pages", directory=tmp_path).close()
    monkeypatch.setenv("LOWMEM_SERVE_CACHE_OWNER", "blog")
    with pytest.raises(cache.CacheError, match=r"another application \(shop\).*--cache-dir"):
        cache.open("pages", directory=tmp_path)


def test_one_process_computes_and_the_others_wait(tmp_path):
    source = """
import sys, time
from lowmem_serve import cache
store = cache.open("memo", directory=sys.argv[1])
@store.memoize()
def slow(number):
    with open(sys.argv[1] + "/computed", "a") as file: file.write("x")
    time.sleep(0.3)
    return number * 2
sys.stdin.read(1)
print(slow(21))
"""
    command = [sys.executable, "-c", source, tmp_path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    each = [subprocess.Popen(command, env=ENVIRONMENT, **pipes) for _ in range(4)]
    for process in each:
        process.stdin.write("x")
        process.stdin.flush()
    assert [process.communicate(timeout=120)[0].strip() for process in each] == ["42"] * 4
    assert (tmp_path / "computed").read_text() == "x"


def test_a_lease_ends_with_the_process_that_holds_it(tmp_path):
    holder = run(
        "import sys, time; from lowmem_serve import cache\n"
        "store = cache.open('memo', directory=sys.argv[1]); lease = store._lease('k')\n"
        "print('held', flush=True); time.sleep(60)",
        tmp_path,
    )
    assert holder.stdout.readline() == "held\n"
    store = cache.open("memo", directory=tmp_path)
    assert store._lease("k") is None
    holder.kill()
    holder.wait()
    lease = store._lease("k")
    assert lease
    lease.release()


def test_a_stale_value_is_returned_while_another_is_computed(tmp_path):
    store = cache.open("memo", directory=tmp_path)
    calls = []
    started, finish = threading.Event(), threading.Event()

    @store.memoize(ttl=0.05, stale=600)
    def number():
        calls.append(1)
        if len(calls) > 1:
            started.set()
            finish.wait(60)
        return len(calls)

    assert number() == 1
    until = time.monotonic() + 40
    while store.get(number.cache_key()) is not None and time.monotonic() < until:
        pass
    computing = threading.Thread(target=number)
    computing.start()
    assert started.wait(60)
    assert number() == 1
    finish.set()
    computing.join()
    assert store.peek(number.cache_key())[0] == 2


def test_a_coroutine_function_is_computed_once_and_its_error_is_its_callers(tmp_path):
    store = cache.open("memo", directory=tmp_path)
    calls = []

    @store.memoize(key=lambda unit: unit["id"])
    async def load(unit):
        calls.append(unit["id"])
        await asyncio.sleep(0.05)
        if len(calls) == 1:
            raise LookupError
        return unit["id"]

    async def both():
        return await asyncio.gather(*(load({"id": 7}) for _ in range(5)), return_exceptions=True)

    results = asyncio.run(both())
    assert sorted(map(str, results)) == ["", "7", "7", "7", "7"] and calls == [7, 7]


def test_writers_that_are_killed_leave_no_wrong_value(tmp_path):
    source = """
import os, random, sys
from lowmem_serve import cache
store = cache.open("killed", size="2M", directory=sys.argv[1])
print("ready", flush=True)
while True:
    key = random.randrange(300)
    number = random.randrange(1, 60)
    store.set(key, bytes([key % 251]) * (number * 50))
    if random.random() < 0.1: store.incr(("count", key))
    if random.random() < 0.05: store.delete(key)
"""
    reader = cache.open("killed", size="2M", directory=tmp_path)
    rounds = int(os.environ.get("CACHE_KILLS", "25"))
    for _ in range(rounds):
        writers = [run(source, tmp_path) for _ in range(2)]
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for _ in range(random.randrange(50, 400)):
            key = random.randrange(300)
            value = reader.get(key)
            assert value is None or (set(value) == {key % 251} and len(value) % 50 == 0)
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()
        assert reader.set("alive", 1) and reader.get("alive") == 1


def test_a_forked_process_has_files_of_its_own(pages):
    pages.set("k", "parent")
    pid = os.fork()
    if pid == 0:
        is_right = pages.get("k") == "parent" and pages.set("k", "child")
        os._exit(0 if is_right else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert pages.get("k") == "child"


def test_counting_in_threads_and_processes_loses_nothing(tmp_path):
    source = """
import sys, threading
from lowmem_serve import cache
store = cache.open("count", directory=sys.argv[1])
def count():
    for _ in range(200): store.incr("n")
threads = [threading.Thread(target=count) for _ in range(3)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
"""
    each = [run(source, tmp_path) for _ in range(3)]
    assert [process.wait(120) for process in each] == [0, 0, 0]
    assert cache.open("count", directory=tmp_path).get("n") == 3 * 3 * 200


def test_eviction_keeps_what_is_read_nearly_as_lru_does(tmp_path):
    """A Zipf trace, beside an exact LRU that holds as many entries as fitted on the disk."""
    store = cache.open("zipf", size="4M", directory=tmp_path)
    generator = random.Random(5)
    trace = [min(int(generator.paretovariate(0.7)), 40_000) for _ in range(60_000)]
    value = b"x" * 950
    hits = 0
    for key in trace:
        if store.get(key) is not None:
            hits += 1
        else:
            store.set(key, value)
    capacity = store.stats()["entries"]
    lru, lru_hits = {}, 0
    for key in trace:
        if key in lru:
            lru_hits += 1
            lru[key] = lru.pop(key)
        else:
            lru[key] = True
            if len(lru) > capacity:
                del lru[next(iter(lru))]
    assert hits >= 0.95 * lru_hits, (hits, lru_hits, capacity)


APP = """
import os
from lowmem_serve import cache

pages = cache.open("pages", size="4M")

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    before = pages.get("pid")
    pages.set("pid", os.getpid())
    body = f"{before} {os.getpid()} {pages.incr('count')}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


def test_a_worker_finds_what_its_predecessor_stored(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    env = {"CACHE_DIRECTORY": str(tmp_path / "caches")}
    with Server("app:app", cwd=tmp_path, env=env) as server:
        before, first, count = server.get("/").text.split()
        assert (before, count) == ("None", "1")
        server.send_signal(signal.SIGHUP)
        server.stderr.wait_for_line("Recycled worker")
        before, second, count = server.get("/").text.split()
        assert before == first != second and count == "2"


def test_the_package_is_offered_to_an_environment_that_has_none(tmp_path):
    """The application's Python has no lowmem_serve of its own: the server's is found last."""
    import venv

    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    (tmp_path / "app.py").write_text(APP)
    env = {"CACHE_DIRECTORY": str(tmp_path / "caches"), **PACKAGE}
    with Server("app:app", cwd=tmp_path, env=env, python=str(tmp_path / "bare")) as server:
        assert server.get("/").text.endswith(" 1")


def test_flask_caching_and_django_take_it_as_a_backend(tmp_path):
    source = """
import sys
import flask, flask_caching
from django.conf import settings
settings.configure(CACHES={"default": {
    "BACKEND": "lowmem_serve.django.Cache", "LOCATION": sys.argv[1] + "/django-pages"}})
from django.core.cache import cache
cache.set("k", {"a": (1, 2)}, 60)
assert cache.get("k") == {"a": (1, 2)} and cache.add("k", 1) is False
cache.set("n", 1.5); assert cache.incr("n") == 2.5
cache.set("m", 40); assert cache.incr("m", 2) == 42 and cache.decr("m") == 41
try: cache.incr("none")
except ValueError: pass
else: raise SystemExit("incr of a missing key")
app = flask.Flask("x")
store = flask_caching.Cache(app, config={"CACHE_TYPE": "lowmem_serve.flask.Cache", "CACHE_DIR": sys.argv[1]})
calls = []
@app.route("/")
@store.cached(timeout=60)
def index():
    calls.append(1)
    return "page"
client = app.test_client()
assert client.get("/").text == client.get("/").text == "page" and len(calls) == 1
print("right")
"""
    process = run(source, tmp_path)
    assert process.communicate(timeout=120)[0] == "right\n" and process.returncode == 0


def test_diskcaches_names_work_after_one_changed_import(tmp_path):
    from lowmem_serve.diskcache import Cache, FanoutCache

    for kind in (Cache, FanoutCache):
        with kind(tmp_path / kind.__name__) as store:
            store["k"] = (1, {2})
            assert store["k"] == (1, {2}) and "k" in store and len(store) == 1
            store.set("t", "v", expire=60, tag="red")
            value, expires, tag = store.get("t", expire_time=True, tag=True)
            assert value == "v" and expires > time.time() and tag == "red"
            assert store.evict("red") == 1 and list(store) == ["k"]
            assert store.incr("n", 5) == 5 and store.decr("n") == 4 and store.pop("n") == 4
            with pytest.raises(KeyError):
                store["nothing"]

            @store.memoize(expire=60)
            def double(number):
                return number * 2, [number]

            assert double(2) == double(2) == (4, [2])
            assert double.__cache_key__(2) in store
            assert store.clear() == 2


def test_the_server_says_where_caches_are_and_how_large(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    flags = ("--cache-dir", "kept", "--cache", "pages=2M,1h")
    with Server("app:app", *flags, cwd=tmp_path) as server:
        assert server.get("/").text.endswith(" 1")
    assert (tmp_path / "kept" / "pages" / "settings").read_text() == "size 2097152\nowner app:app\n"
    shown = run_command("cache", "--cache-dir", "kept", cwd=tmp_path)
    assert re.search(r"^pages +2 +0\.\d MB +2\.\d MB$", shown.stdout, re.MULTILINE), shown.stdout
    as_json = run_command("cache", "stats", "--json", "--cache-dir", "kept", cwd=tmp_path)
    assert json.loads(as_json.stdout)[0]["entries"] == 2
    assert run_command("cache", "clear", "pages", "--cache-dir", "kept", cwd=tmp_path).returncode == 0
    empty = run_command("cache", "stats", "--json", "--cache-dir", "kept", cwd=tmp_path)
    assert json.loads(empty.stdout)[0]["entries"] == 0
    wrong = run_command("cache", "clear", "page", "--cache-dir", "kept", cwd=tmp_path)
    assert wrong.returncode == 3 and "there is: pages" in wrong.stderr
    assert "No cache in" in run_command("cache", "--cache-dir", "nowhere", cwd=tmp_path).stdout


def test_wrong_terms_of_a_cache_are_told_before_the_start(tmp_path):
    for wrong in ("pages", "pages=much", "pages=1M,soon"):
        refused = run_command("app:app", "--cache", wrong, cwd=tmp_path)
        assert refused.returncode == 2 and "--cache" in refused.stderr


def test_the_examples_of_the_documents_run(tmp_path, monkeypatch):
    text = (REPOSITORY / "docs" / "cache.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.setenv("LOWMEM_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("LOWMEM_SERVE_CACHE_OWNER", raising=False)
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["pages"].get("front") == "<h1>Front</h1>" and names["pages"].get("news") is None
    assert names["report"](2026) == names["report"](2026) == {"year": 2026, "total": 42}
    settings = re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1]
    (tmp_path / "lowmem-serve.toml").write_text(settings)
    shown = run_command("config", "app:app", cwd=tmp_path)
    assert 'cache = ["pages=256M,1h", "thumbnails=2G"]' in shown.stdout, shown.stdout + shown.stderr


def test_wrong_terms_in_the_settings_file_are_told_with_their_line(tmp_path):
    settings = "[cache.a]\nsise = '1M'\n[cache.b]\nsize = 'much'\n[cache]\nc = 7\n"
    (tmp_path / "lowmem-serve.toml").write_text(settings)
    refused = run_command("config", "app:app", cwd=tmp_path)
    assert refused.returncode == 2
    for part in (
        "toml:1: there is no setting cache.a.sise",
        "toml:3: cache.b: ",
        "toml:6: cache.c wants a table",
    ):
        assert part in refused.stderr, refused.stderr
