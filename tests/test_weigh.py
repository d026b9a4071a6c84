"""`lowmem-serve weigh`: the memory of a served application as a check."""

import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from harness import APPS, Finished, command_line, processes, run
from harness.server import environment

KEPT, CANNOT, TOO_HEAVY = 0, 3, 4

ONCE = ("--starts", "1", "--count", "2")


def weigh(*arguments: str, env: dict[str, str | None] | None = None) -> Finished:
    return run("weigh", *arguments, env=env, timeout=120)


def weigh_as_json(*arguments: str, env: dict[str, str | None] | None = None) -> Any:
    finished = weigh("--json", *arguments, env=env)
    assert finished.returncode in (KEPT, TOO_HEAVY), finished
    return json.loads(finished.stdout)


def test_an_application_within_its_budget_passes() -> None:
    finished = weigh("weighed:app", *ONCE, "--budget", "500M")
    assert finished.returncode == KEPT, finished
    assert "GET / (200 ×2)" in finished.stdout
    assert "supervisor [" in finished.stdout and "worker [" in finished.stdout
    assert "budget kept" in finished.stdout


def test_an_application_beyond_its_budget_fails_with_a_code_of_its_own() -> None:
    finished = weigh("weighed:app", *ONCE, "--budget", "40M", env={"WEIGHED_MB": "50"})
    assert finished.returncode == TOO_HEAVY, finished
    assert "budget EXCEEDED" in finished.stdout and "of 40.0 MB" in finished.stdout


def test_what_requests_leave_behind_counts() -> None:
    env = {"WEIGHED_REQUEST_MB": "30"}
    report = weigh_as_json("weighed:app", *ONCE, "--request", "/work", env=env)
    grown = report["warm"]["total"]["private"] - report["started"]["total"]["private"]
    assert 30 << 20 <= grown < 40 << 20
    assert report["answers"] == [{"request": "GET /work", "statuses": {"200": 2}}]


def test_the_report_is_of_the_whole_tree() -> None:
    report = weigh_as_json("weighed:app", *ONCE, "--budget", "1M", "--", "--workers", "2")
    tree = report["warm"]
    assert [each["name"] for each in tree["processes"]] == ["supervisor", "worker", "worker"]
    for figure in ("private", "pss", "rss"):
        assert tree["total"][figure] == sum(each[figure] for each in tree["processes"])
    assert report["starts"] == [tree["total"]]
    (verdict,) = report["verdicts"]
    assert verdict == {
        "limit_from": "budget",
        "figure": "private",
        "limit": 1 << 20,
        "weight": tree["total"]["private"],
        "kept": False,
    }


def test_a_record_is_kept_until_the_application_grows(tmp_path: Path) -> None:
    record = str(tmp_path / "weight.json")
    assert weigh("weighed:app", *ONCE, "--record", record).returncode == KEPT
    same = weigh("weighed:app", *ONCE, "--against", record, "--tolerance", "20%")
    assert same.returncode == KEPT, same
    assert "record kept" in same.stdout and "note:" not in same.stdout
    grown = weigh("weighed:app", *ONCE, "--against", record, env={"WEIGHED_MB": "20"})
    assert grown.returncode == TOO_HEAVY, grown
    assert "record EXCEEDED" in grown.stdout and "5 % more" in grown.stdout


def test_a_record_of_other_requests_is_compared_with_a_note(tmp_path: Path) -> None:
    record = str(tmp_path / "weight.json")
    assert weigh("weighed:app", *ONCE, "--record", record).returncode == KEPT
    other = weigh("weighed:app", "--starts", "1", "--request", "/other", "--against", record)
    assert "note: the requests: GET / ×2 then, GET /other ×10 now" in other.stdout


def test_pss_can_be_what_counts() -> None:
    report = weigh_as_json("weighed:app", *ONCE, "--budget", "500M", "--figure", "pss")
    (verdict,) = report["verdicts"]
    assert verdict["weight"] == report["warm"]["total"]["pss"] > report["warm"]["total"]["private"]


def test_the_lightest_of_several_starts_counts() -> None:
    report = weigh_as_json("weighed:app", "--starts", "2", "--count", "1")
    weights = [start["private"] for start in report["starts"]]
    assert len(weights) == 2 and report["warm"]["total"]["private"] == min(weights)


def test_another_server_is_weighed_beside() -> None:
    finished = weigh("weighed:app", *ONCE, "--beside", "uvicorn")
    assert finished.returncode == KEPT, finished
    assert "lowmem-serve / uvicorn" in finished.stdout
    report = weigh_as_json("weighed:app", *ONCE, "--beside", "uvicorn")
    (uvicorn,) = report["beside"]
    assert uvicorn["server"] == "uvicorn" and uvicorn["warm"]["total"]["private"] > 5 << 20


def test_a_server_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    finished = weigh("weighed:app", "--python", str(tmp_path / "bare"), "--beside", "granian")
    assert finished.returncode == CANNOT
    assert f"{tmp_path}/bare/bin/python3 -m pip install granian" in finished.stderr


# --- what cannot be weighed


def test_an_application_that_does_not_start_shows_why() -> None:
    finished = weigh("nowhere:app", *ONCE)
    assert finished.returncode == CANNOT and not finished.stdout
    assert "ended before it was ready" in finished.stderr
    assert 'Could not import module "nowhere"' in finished.stderr


def test_an_application_that_fails_is_not_weighed() -> None:
    finished = weigh("weighed:app", *ONCE, "--request", "/broken")
    assert finished.returncode == CANNOT
    assert "GET /broken (500 ×2)" in finished.stderr and "--request" in finished.stderr


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_a_record_that_is_none_says_how_to_write_one(tmp_path: Path, content: str | None) -> None:
    record = tmp_path / "weight.json"
    if content is not None:
        record.write_text(content)
    finished = weigh("weighed:app", "--against", str(record))
    assert finished.returncode == CANNOT
    assert f"write one with --record {record}" in finished.stderr


@pytest.mark.parametrize(
    "wrong", [("--budget", "60"), ("--tolerance", "200%"), ("--request", "page"), ("--starts", "0"), ()]
)
def test_wrong_usage_is_told_as_such(wrong: tuple[str, ...]) -> None:
    application = ("weighed:app",) if wrong else ()
    finished = weigh(*application, *wrong)
    assert finished.returncode == 2 and finished.stderr.startswith("error: ")


def test_a_server_on_trial_ends_with_the_command() -> None:
    arguments = [*command_line(), "weigh", "weighed:app", "--request", "/forever"]
    weighing = subprocess.Popen(
        arguments, cwd=APPS, env=environment({"LOWMEM_PYTHON": sys.executable}), stderr=subprocess.DEVNULL
    )
    try:
        # Nothing says that a process has started but its being there.
        while not (servers := processes.children(weighing.pid)) or not processes.children(servers[0]):
            assert weighing.poll() is None
        workers = processes.children(servers[0])
    finally:
        os.kill(weighing.pid, signal.SIGKILL)
        weighing.wait()
    assert all(processes.wait_for_exit(pid, timeout=20) for pid in [*servers, *workers])
