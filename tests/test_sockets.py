"""Where the server listens: several places, Unix sockets, IPv6, sockets from systemd."""

import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import RawClient, Server, command_line, processes, run
from harness.server import RUNNING_ON

ACTIVATE = shutil.which("systemd-socket-activate")

PASS_ON = """
import os, sys
names, numbers, command = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
copies = [os.dup(int(number)) for number in numbers]
for place, copy in enumerate(copies, 3):
    os.dup2(copy, place)
    os.set_inheritable(place, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(numbers)), "LISTEN_FDNAMES": names}
os.execvp(command[0], command)
"""
"""What a service manager does: sockets from descriptor 3 on, their count and names in the environment."""


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


def places(server: Server, count: int) -> list[tuple[str, int] | str]:
    """The addresses in the running lines, in their order."""
    server.stderr.wait_for_line(RUNNING_ON, times=count)
    found = server.stderr.matches(RUNNING_ON)
    assert len(found) == count, server.stderr.text
    return [each["path"] or (each["host"].strip("[]"), int(each["port"])) for each in found]


def ask(place: tuple[str, int] | str) -> dict:
    with RawClient(place) as client:
        response = client.get("/")
    assert response.status == 200
    return response.json()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


# --- several places


@needs_ipv6
def test_every_bind_is_served_and_named(server, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    binds = ("--bind", "127.0.0.1:0", "--bind", "[::1]:0", "--bind", f"unix:{path}")
    tcp, v6, unix = places(server("mirror:app", *binds), 3)
    assert (tcp[0], v6[0], unix) == ("127.0.0.1", "::1", str(path))
    assert 0 not in (tcp[1], v6[1])
    assert ask(tcp)["server"] == list(tcp)
    assert ask(v6)["server"] == list(v6)
    assert ask(v6)["client"][0] == "::1"
    assert ask(unix)["server"] == [str(path), None]


def test_a_bind_leaves_out_the_default_address_and_adds_to_a_typed_one(server) -> None:
    alone = server("mirror:app", "--bind", "127.0.0.1:0")
    assert len(places(alone, 1)) == 1
    both = server("mirror:app", "--bind", "127.0.0.1:0", "--port", "0")
    first, second = places(both, 2)
    assert first != second
    assert ask(first)["pid"] == ask(second)["pid"]


def test_binds_come_from_the_environment(server) -> None:
    ended = run("mirror:app", env={"LOWMEM_BIND": "127.0.0.1:1 127.0.0.1:1"})
    assert ended.returncode == 2
    assert "listened on twice" in ended.stderr
    started = server("mirror:app", env={"LOWMEM_BIND": "127.0.0.1:0 localhost:0"}, places=False)
    assert len(places(started, 2)) == 2


def test_mistakes_in_binds_are_reported_together() -> None:
    ended = run("mirror:app", "--bind", "127.0.0.1", "--bind", "http://a:1", "--bind", "fd://web")
    assert ended.returncode == 2
    assert "write 127.0.0.1:8000" in ended.stderr
    assert "without a scheme" in ended.stderr
    assert "no socket of that name" in ended.stderr


def test_a_taken_place_among_several_ends_the_start_with_3(listener) -> None:
    host, port = listener.getsockname()
    ended = run("mirror:app", "--bind", "127.0.0.1:0", "--bind", f"{host}:{port}")
    assert ended.returncode == 3
    assert "address already in use" in ended.stderr


def test_an_inherited_socket_is_bound_beside_an_address(server, listener) -> None:
    number = listener.fileno()
    binds = ("--bind", f"fd://{number}", "--bind", "127.0.0.1:0")
    started = server("mirror:app", *binds, pass_fds=(number,))
    inherited, other = listener.getsockname(), places(started, 2)
    assert ask(inherited)["server"] == list(inherited)
    assert ask(other[1])["server"] == list(other[1])


def test_every_place_is_served_by_every_worker_and_by_its_successor(server, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    flags = ("--bind", "127.0.0.1:0", "--bind", f"unix:{path}", "--workers", "2")
    started = server("mirror:app", *flags)
    tcp, unix = places(started, 2)
    # The running lines are written when one of the workers is ready.
    started.stderr.wait_for_line("Application startup complete", times=2)
    before = set(started.worker_pids())
    with RawClient(tcp) as idle_tcp, RawClient(unix) as idle_unix:
        assert idle_tcp.get("/").json()["pid"] in before
        assert idle_unix.get("/").json()["pid"] in before
        started.send_signal(signal.SIGHUP)
        started.stderr.wait_for_line("Recycled worker", times=2)
        # The connections have moved, too, each with its place.
        assert idle_tcp.get("/").json()["server"] == list(tcp)
        moved = idle_unix.get("/").json()
        assert moved["server"] == [unix, None]
        assert moved["pid"] not in before
    assert {ask(tcp)["pid"], ask(unix)["pid"]}.isdisjoint(before)


# --- Unix sockets


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_mode_of_a_unix_socket_is_as_asked(server, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    server("mirror:app", "--uds", str(path), "--uds-mode", "0660")
    assert mode_of(path) == 0o660


def test_without_a_mode_a_unix_socket_is_open_to_all_or_keeps_the_one_it_had(server, tmp_path: Path) -> None:
    fresh, stale = tmp_path / "fresh.sock", tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    stale.chmod(0o620)
    server("mirror:app", "--bind", f"unix:{fresh}", "--bind", f"unix:{stale}")
    assert (mode_of(fresh), mode_of(stale)) == (0o666, 0o620)


@pytest.mark.parametrize("mode", ["rw", "999", "1777"])
def test_a_mode_that_is_none_is_wrong_usage(mode: str) -> None:
    ended = run("mirror:app", "--uds", "x.sock", "--uds-mode", mode)
    assert ended.returncode == 2
    assert "octal" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_unix_socket_is_removed_however_the_server_is_stopped(server, tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.sock"
    started = server("mirror:app", "--uds", str(path))
    started.send_signal(number)
    started.wait()
    assert not path.exists()


def test_a_unix_socket_is_removed_when_the_application_cannot_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    assert run("nowhere:app", "--uds", str(path)).returncode == 3
    assert not path.exists()


def test_what_a_killed_server_left_is_replaced(server, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    first = server("mirror:app", "--uds", str(path))
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert path.exists()
    for pid in processes.in_session(first.pid):
        assert processes.wait_for_exit(pid, timeout=20)
    second = server("mirror:app", "--uds", str(path))
    assert second.get("/").status == 200


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    ended = run("mirror:app", "--uds", str(path))
    assert ended.returncode == 3
    assert "a file that is no socket" in ended.stderr
    assert path.read_text() == "mine"


def test_a_path_that_is_too_long_for_a_unix_socket_is_told(tmp_path: Path) -> None:
    ended = run("mirror:app", "--uds", str(tmp_path / ("x" * 108)))
    assert ended.returncode == 3
    assert "107 bytes" in ended.stderr


# --- systemd


def passing(*sockets: socket.socket, names: str) -> tuple[list[str], tuple[int, ...]]:
    """A command that passes these sockets on as systemd does, and what it has to inherit."""
    numbers = tuple(each.fileno() for each in sockets)
    text = ",".join(map(str, numbers))
    return [sys.executable, "-c", PASS_ON, names, text, *command_line()], numbers


def test_passed_sockets_are_served_where_nothing_is_named(server, listener, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "a.sock"))
        unix.listen()
        command, numbers = passing(listener, unix, names="web:admin")
        started = server("mirror:app", command=command, pass_fds=numbers, places=False)
    assert len(places(started, 2)) == 2
    told = ask(listener.getsockname())
    assert not [name for name in told["environ"] if name.startswith("LISTEN_")]
    assert ask(str(tmp_path / "a.sock"))["server"] == [str(tmp_path / "a.sock"), None]
    started.terminate()
    # It is the service manager's: it outlives the server.
    assert (tmp_path / "a.sock").exists()


def test_a_passed_socket_is_chosen_by_its_name(server, listener) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        command, numbers = passing(listener, other, names="web:admin")
        flags = ("--bind", "fd://admin")
        started = server("mirror:app", *flags, command=command, pass_fds=numbers)
        assert ask(other.getsockname())["server"] == list(other.getsockname())
        assert "Nothing listens on descriptor 3 (web)" in started.stderr.text


def test_a_passed_descriptor_that_does_not_listen_ends_the_start_with_3() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        command, numbers = passing(silent, names="x")
        with Server("mirror:app", command=command, pass_fds=numbers, places=False, wait=False) as started:
            assert started.wait() == 3
            assert "descriptor 3 is not a listening socket" in started.stderr.wait_for_end()


@pytest.mark.skipif(not ACTIVATE, reason="systemd-socket-activate is not installed")
def test_the_first_connection_starts_the_server_through_systemd(server, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    command = [str(ACTIVATE), "--listen", str(path), "--fdname", "web", *command_line()]
    env = {"LOWMEM_PYTHON": sys.executable}
    # It gives its own environment to the service only variable by variable.
    passed = [
        f"--setenv={name}={value}" for name, value in {**os.environ, **env}.items() if "\n" not in value
    ]
    command[1:1] = passed
    started = server("mirror:app", command=command, places=False, wait=False)
    started.stderr.wait_for_line("Listening on")
    with RawClient(str(path), timeout=20) as client:
        assert client.get("/").json()["server"] == [str(path), None]
    assert places(started, 1) == [str(path)]
