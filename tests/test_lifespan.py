"""The lifespan protocol: before the first request and after the last."""

import re
import signal

import pytest

from harness import run

STARTUP = "Waiting for application startup."
STARTED = "Application startup complete."
UNSUPPORTED = "ASGI 'lifespan' protocol appears unsupported."
STARTUP_FAILED = "Application startup failed. Exiting."
SHUTDOWN = "Waiting for application shutdown."
SHUT_DOWN = "Application shutdown complete."


def info(server) -> list[str]:
    """The informative lines, without their level and with N for a number in brackets or a port."""
    lines = (re.fullmatch(r"INFO:     (.*)", line) for line in server.stderr)
    return [re.sub(r"\[\d+\]", "[N]", re.sub(r":\d+ ", ":N ", line[1])) for line in lines if line]


def in_order(lines: list[str], *expected: str) -> bool:
    """Whether the expected lines stand among the others in this order."""
    rest = iter(lines)
    return all(any(line == each for line in rest) for each in expected)


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_an_orderly_life_is_told_line_by_line(server, mode: str) -> None:
    started = server("lifespans:orderly", "--lifespan", mode)
    assert started.terminate() == 0
    started.stderr.wait_for_end()
    expected = [
        "Started server process [N]",
        STARTUP,
        STARTED,
        "lowmem-serve running on http://127.0.0.1:N (Press CTRL+C to quit)",
        "Shutting down",
        SHUTDOWN,
        SHUT_DOWN,
        "Finished server process [N]",
    ]
    assert in_order(info(started), *expected), started.output


def test_the_application_serves_only_between_startup_and_shutdown(server) -> None:
    started = server("lifespans:orderly")
    started.get("/")
    assert started.terminate() == 0
    lines = re.findall("the application .*|GET /", started.stdout.wait_for_end())
    assert lines == ["the application starts", "GET /", "the application ends"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_shutdown_runs_for_either_signal(server, number: signal.Signals) -> None:
    started = server("lifespans:orderly")
    started.send_signal(number)
    assert started.wait() == 0
    assert "the application ends" in started.stdout.wait_for_end()


def test_an_exception_at_startup_means_unsupported_and_is_tolerated(server) -> None:
    started = server("lifespans:raises_at_startup")
    assert started.get("/").status == 200
    assert in_order(info(started), STARTUP, UNSUPPORTED, STARTED), started.output
    assert "Traceback" not in started.stderr
    assert started.terminate() == 0


def test_an_exception_at_startup_ends_the_server_where_lifespan_is_on() -> None:
    ended = run("lifespans:raises_at_startup", "--port", "0", "--lifespan", "on")
    assert ended.returncode == 3
    assert "ERROR:    Exception in 'lifespan' protocol" in ended.stderr
    assert "LookupError: no table of contents" in ended.stderr
    assert f"ERROR:    {STARTUP_FAILED}" in ended.stderr
    assert "running on" not in ended.stderr


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_failed_startup_ends_the_server_with_its_message(mode: str, workers: str) -> None:
    ended = run("lifespans:fails_at_startup", "--port", "0", "--lifespan", mode, "--workers", workers)
    assert ended.returncode == 3
    assert "ERROR:    The database is away." in ended.stderr
    assert f"ERROR:    {STARTUP_FAILED}" in ended.stderr
    assert ended.stderr.index("The database is away.") < ended.stderr.index(STARTUP_FAILED)


def test_lifespan_off_asks_nothing_of_the_application(server) -> None:
    started = server("lifespans:fails_at_startup", "--lifespan", "off")
    assert started.get("/").status == 200
    assert started.terminate() == 0
    output = started.stderr.wait_for_end()
    assert STARTUP not in output and SHUTDOWN not in output


def test_an_application_may_return_at_once(server) -> None:
    started = server("lifespans:returns_at_once")
    assert started.get("/").status == 200
    assert STARTED in started.stderr
    assert started.terminate() == 0


def test_a_message_that_is_not_of_lifespan_is_an_exception_in_the_application(server) -> None:
    started = server("lifespans:sends_nonsense")
    assert started.get("/").status == 200
    assert UNSUPPORTED in started.stderr


def test_an_exception_at_shutdown_is_logged_and_the_end_is_still_orderly(server) -> None:
    started = server("lifespans:raises_at_shutdown", "--lifespan", "on")
    assert started.terminate() == 0
    output = started.stderr.wait_for_end()
    assert "ERROR:    Exception in 'lifespan' protocol" in output
    assert "LookupError: no last page" in output
    assert SHUT_DOWN not in output


def test_a_failed_shutdown_is_logged_with_its_message(server) -> None:
    started = server("lifespans:fails_at_shutdown")
    assert started.terminate() == 0
    assert "ERROR:    The last page is stuck." in started.stderr.wait_for_end()


def test_state_is_shared_with_requests_as_a_shallow_copy(server) -> None:
    started = server("lifespans:with_state")
    found = [started.get("/").text for _ in range(3)]
    assert found == [f"[['name', 'visits'], {visits}]" for visits in range(3)]
    assert started.terminate() == 0
    assert "at the end: ['name', 'visits']" in started.stdout.wait_for_end()


def test_requests_of_one_connection_do_not_share_their_copies(server) -> None:
    started = server("lifespans:with_state")
    with started.connect() as client:
        found = [client.get("/").text for _ in range(2)]
    assert found == ["[['name', 'visits'], 0]", "[['name', 'visits'], 1]"]
