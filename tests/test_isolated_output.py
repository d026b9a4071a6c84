"""The output of an isolated call, and the request that it belongs to, with `--request-id` (docs/isolated.md)."""

import json
import re

import pytest

from harness import REPOSITORY

ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY / "python")}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
IDS = "trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331"
ABOUT = "isolated=isolated_functions.speak request_id={}"


def speak(serving, request: str = "abc", **query: str) -> dict:
    target = "/speak" + "".join(
        f"{'?&'[n > 0]}{name}={value}" for n, (name, value) in enumerate(query.items())
    )
    return serving.get(target, {"x-request-id": request, "traceparent": TRACE}).json()["value"]


@pytest.mark.parametrize("flags", [(), ("--preload",), ("--loop", "uvloop")])
@pytest.mark.parametrize("thread", [{}, {"thread": "1"}])
def test_lines_of_a_call_name_its_request_and_its_trace(server, flags, thread) -> None:
    serving = server("isolated_calls_app:app", "--request-id", *flags, env=ENVIRONMENT)
    assert speak(serving, **thread) == {"request_id": "abc", "traceparent": TRACE}
    about = f"{ABOUT.format('abc')} {IDS}"
    for line in ("printed", "of a program", "WARNING:reports:logged", "no end of line"):
        serving.stderr.wait_for_line(rf"^INFO: +{re.escape(line)} {re.escape(about)}$")
    assert "printed" not in serving.stdout
    other = serving.get("/speak").json()["value"]
    assert re.fullmatch("[0-9a-f]{32}", other["request_id"]) and other["traceparent"] is None
    serving.stderr.wait_for_line(rf"^INFO: +printed {ABOUT.format(other['request_id'])}$")


def test_in_json_they_are_fields(server) -> None:
    serving = server("isolated_calls_app:app", "--request-id", "--log-format=json", env=ENVIRONMENT)
    speak(serving)
    line = json.loads(serving.stderr.wait_for_line(r".*\"message\": \"printed\".*")[0])
    wanted = {
        "level": "info",
        "isolated": "isolated_functions.speak",
        "request_id": "abc",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
    }
    assert line.items() >= wanted.items()


def test_a_log_level_hides_none_of_them(server) -> None:
    serving = server("isolated_calls_app:app", "--request-id", "--log-level=debug", env=ENVIRONMENT)
    speak(serving)
    serving.stderr.wait_for_line("printed isolated=")


def test_wsgi_and_streams_name_theirs(server) -> None:
    serving = server("isolated_calls_app:spoken", "--request-id", env=ENVIRONMENT)
    assert serving.get("/", {"x-request-id": "w1"}).json() == {"request_id": "w1", "traceparent": None}
    serving.stderr.wait_for_line(f"printed {ABOUT.format('w1')}")
    asgi = server("isolated_calls_app:app", "--request-id", env=ENVIRONMENT)
    asgi.get("/spoken_rows", {"x-request-id": "s1"})
    asgi.stderr.wait_for_line("^INFO: +row 19 isolated=isolated_functions.spoken_rows request_id=s1$")


def test_without_the_flag_a_call_has_the_workers_output(server) -> None:
    serving = server("isolated_calls_app:app", env=ENVIRONMENT)
    assert speak(serving) == {"request_id": None, "traceparent": None}
    serving.stdout.wait_for_line("^printed$")
    serving.stderr.wait_for_line("^WARNING:reports:logged$")


def test_the_last_words_of_a_call_that_is_killed_are_there(server) -> None:
    serving = server("isolated_calls_app:app", "--request-id", env=ENVIRONMENT)
    serving.get('/print_and_wait?limits={"timeout":5}', {"x-request-id": "k1"})
    serving.stderr.wait_for_line(
        "^INFO: +before the end isolated=isolated_functions.print_and_wait request_id=k1$"
    )


def test_much_output_neither_blocks_the_call_nor_the_worker(server) -> None:
    serving = server("isolated_calls_app:app", "--request-id", env=ENVIRONMENT)
    assert serving.get("/print_much?arguments=[20000]").json()["value"] == 20000
    serving.stderr.wait_for_line("^INFO: +line 19999 isolated=")
    assert len(serving.stderr.matches(r"^INFO: +line \d+ isolated=")) == 20000
