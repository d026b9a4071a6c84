"""The weight of a worker: at rest, after a burst, and when nothing has been compiled before."""

import resource
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import REPOSITORY, Server, processes, run
from harness.raw_client import encode_request

sys.path.insert(0, str(REPOSITORY / "benches"))
import weigh

MIB = 1024  # weights are in KiB
BURST_CONNECTIONS = 2000
BURST_UPLOADS = 200


def settled(started: Server, below: Callable[[weigh.Weight], bool]) -> weigh.Weight:
    """The weight of the tree, as soon as it is low enough, or else after forty seconds."""
    for _ in range(400):
        weight = weigh.weigh_tree(started.pid)
        if below(weight):
            break
        # Nothing tells when memory has gone back: the look is repeated, the end is fixed.
        assert not processes.wait_for_exit(started.pid, 0.1), started.output
    return weight


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < BURST_CONNECTIONS + 200, reason="too few descriptors"
)
def test_memory_goes_back_after_a_burst(server: Any) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * BURST_CONNECTIONS), hard))
    apps = REPOSITORY / "benches" / "apps"
    started = server("bodies:upload", "--no-access-log", cwd=apps)
    assert started.post("/", b"x").body == b"1"
    idle = weigh.weigh_tree(started.pid)

    clients = [started.connect() for _ in range(BURST_CONNECTIONS)]
    for client in clients:
        client.send(encode_request("POST", "/", None, b"x" * 100))
    for client in clients:
        assert client.read_response("POST").body == b"100"
    upload = encode_request("POST", "/", None, b"x" * 2**20)
    for client in clients[:BURST_UPLOADS]:
        client.send(upload)
        assert client.read_response("POST").body == b"1048576"
    for client in clients:
        client.close()

    # Not PSS: it rises when another process, such as another server, unmaps the same libpython.
    allowed = idle.private_dirty + 4 * MIB
    after = settled(started, lambda weight: weight.private_dirty <= allowed)
    assert after.private_dirty <= allowed, f"{idle} became {after}"


@pytest.fixture
def big_app(tmp_path: Path) -> Path:
    """A package whose source is more than what a worker compiles by itself."""
    package = tmp_path / "big"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for number in range(8):
        functions = (
            f"def function_{n}(a, b=({n}, 'text {n}')):\n    '''Text {n}.'''\n    return [a, b, {n}.5]\n"
            for n in range(600)
        )
        (package / f"part_{number}.py").write_text("\n".join(functions))
    (tmp_path / "application.py").write_text(
        textwrap.dedent(
            """
            from big import part_0, part_1, part_2, part_3, part_4, part_5, part_6, part_7

            async def app(scope, receive, send):
                if scope["type"] != "http":
                    raise NotImplementedError
                answer = repr(part_7.function_599(1)).encode()
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": answer})
            """
        )
    )
    return tmp_path


def private_dirty(pid: int) -> int:
    time.sleep(0.2)
    return weigh.weigh_process(pid).private_dirty


UNCACHED = {"PYTHONDONTWRITEBYTECODE": "1"}


def test_modules_without_cached_bytecode_weigh_no_more_than_with_it(big_app: Path) -> None:
    weights = {}
    for name, env in (("without", UNCACHED), ("fills the cache", {}), ("with", {})):
        with Server("application:app", cwd=big_app, env=env) as started:
            assert started.get("/").text == "[1, (599, 'text 599'), 599.5]"
            worker = started.only_worker()
            assert processes.children(worker) == [], "the compiler has outlived the import"
            # Memory that was used for a moment goes back a while later.
            weights[name] = min(private_dirty(worker) for _ in range(10))
    assert list((big_app / "big").glob("__pycache__/part_7.*.pyc")), "nothing was cached"
    assert weights["without"] < weights["with"] + MIB, weights


def test_a_syntax_error_is_reported_where_it_is_though_another_process_found_it(big_app: Path) -> None:
    (big_app / "big" / "part_7.py").write_text("fine = 1\nbroken = = 2\n")
    finished = run("application:app", "--port", "0", cwd=big_app, env=UNCACHED)
    assert finished.returncode == 1
    assert 'part_7.py", line 2' in finished.stderr
    assert "SyntaxError: invalid syntax" in finished.stderr
    assert "_frozen_importlib" not in finished.stderr, "the import system's own frames are shown"


def test_a_module_that_another_process_compiled_is_the_same(server: Any, big_app: Path) -> None:
    """Encoding cookies, file names and tracebacks as if it had been compiled here."""
    source = "# coding: latin-1\nnote = 'na\u00efve'\ndef fail():\n    raise ValueError(note)\n"
    (big_app / "big" / "part_7.py").write_bytes(source.encode("latin-1"))
    (big_app / "application.py").write_text(
        textwrap.dedent(
            """
            import traceback
            from big import part_0, part_1, part_2, part_3, part_4, part_5, part_6, part_7

            async def app(scope, receive, send):
                if scope["type"] != "http":
                    raise NotImplementedError
                try:
                    part_7.fail()
                except ValueError:
                    answer = traceback.format_exc().encode()
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": answer})
            """
        )
    )
    started = server("application:app", cwd=big_app, env=UNCACHED)
    answer = started.get("/").text
    assert f'File "{big_app}/big/part_7.py", line 4, in fail\n    raise ValueError(note)' in answer
    assert answer.endswith("ValueError: na\u00efve\n")


def test_the_garbage_collector_can_be_left_as_it_is(server: Any, tmp_path: Path) -> None:
    (tmp_path / "application.py").write_text(
        textwrap.dedent(
            """
            import gc

            async def app(scope, receive, send):
                if scope["type"] != "http":
                    raise NotImplementedError
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"%d" % gc.get_freeze_count()})
            """
        )
    )
    assert int(server("application:app", cwd=tmp_path).get("/").text) > 1000
    assert int(server("application:app", "--no-gc-freeze", cwd=tmp_path).get("/").text) == 0
