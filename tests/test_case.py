"""The two states of examples/case: the same pages in both, the index as a job, the last state within its budget."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from harness import REPOSITORY, Server, run

sys.path.insert(0, str(REPOSITORY / "benches"))

from replay import day, picture, states

CASE = REPOSITORY / "examples" / "case"
BUDGET = "40M"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """A small site whose index the first state's code has made."""
    work = tmp_path_factory.mktemp("case")
    made = {"CASE_DB": str(work / "case.sqlite3"), "CASE_INDEX": str(work / "index.sqlite3")}
    size = ["--courses", "20", "--words", "50"]
    subprocess.run([sys.executable, str(CASE / "generate.py"), made["CASE_DB"], *size], check=True)
    command = [sys.executable, "-c", "import indexer; assert indexer.rebuild() == 160"]
    subprocess.run(command, cwd=CASE / "before", env={**os.environ, **made}, check=True)
    return {**made, "LOWMEM_CACHE_DIR": str(work / "cache"), "LOWMEM_STATE_DIR": str(work / "state")}


OLD_PARTS = "orm,dict,inside"
STATES = {"before": None, "between, all old": OLD_PARTS, "between, all new": "", "after": None}


@pytest.fixture(scope="module", params=list(STATES))
def site(request: pytest.FixtureRequest, variables: dict[str, str | None]) -> Iterator[Server]:
    folder = CASE / request.param.partition(",")[0]
    path = ":".join(str(CASE / name) for name in ("between", "before", "after"))
    between = {"CASE_PARTS": STATES[request.param], "PYTHONPATH": path} if folder.name == "between" else {}
    with Server("training:app", cwd=folder, env={**variables, **between}) as server:
        yield server


def word_of(page: str) -> str:
    found = re.search(r"<p>(\w+) ", page)
    assert found
    return found[1]


def test_the_list_names_all_courses(site: Server) -> None:
    assert site.get("/").text.count("<li>") == 20


def test_a_course_has_its_chapters_and_stays_the_same_from_the_cache(site: Server) -> None:
    page = site.get("/courses/3").text
    assert page.count("<h2>Chapter") == 8
    assert site.get("/courses/3").text == page
    assert site.get("/courses/21").status == 404


def test_a_word_of_a_transcript_is_found(site: Server) -> None:
    found = site.get(f"/search?q={word_of(site.get('/courses/3').text)}").text
    assert "of course 3</a>" in found
    assert "<li>" not in site.get("/search?q=").text


def test_a_login_needs_its_password(site: Server) -> None:
    right, wrong = (urlencode({"user": 7, "password": word}).encode() for word in ("secret7", "secret8"))
    assert site.post("/login", right, FORM).json()["user"] == 7
    assert site.post("/login", wrong, FORM).status == 403


def test_the_report_is_a_picture(site: Server) -> None:
    report = site.request("GET", "/report.png", timeout=120)
    assert (report.status, report.body[:4]) == (200, b"\x89PNG")


def test_the_last_state_keeps_its_budget(variables: dict[str, str | None], tmp_path: Path) -> None:
    asked = ("--request", "/", "--request", "/courses/3", "--starts", "1", "--budget", BUDGET)
    flags = ("--", "--lazy-imports", "auto,training,store")
    env = {**variables, "LOWMEM_STATE_DIR": str(tmp_path)}
    weighed = run("weigh", "training:app", *asked, *flags, cwd=CASE / "after", env=env, timeout=170)
    assert weighed.returncode == 0, weighed
    assert "budget kept" in weighed.stdout


def test_the_settings_of_the_last_state_are_valid(variables: dict[str, str | None]) -> None:
    checked = run("config", cwd=CASE / "after", env=variables)
    assert checked.returncode == 0, checked
    assert "reindex" in checked.stdout


def test_the_job_makes_the_index(variables: dict[str, str | None], tmp_path: Path) -> None:
    made = str(tmp_path / "index.sqlite3")
    env = {**variables, "CASE_INDEX": made, "LOWMEM_STATE_DIR": str(tmp_path / "state")}
    with Server("--jobs-only", "--job", "reindex=indexer:rebuild every 1s", wait=False, cwd=CASE / "after", env=env) as server:  # fmt: skip
        server.stderr.wait_for_line("indexed", 90)
    assert Path(made).exists()


def test_parts_that_are_not_known_are_refused(variables: dict[str, str | None]) -> None:
    env = {**variables, "CASE_PARTS": "orm,cache", "PYTHONPATH": str(CASE / "after")}
    ended = run("training:app", cwd=CASE / "between", env=env)
    assert ended.returncode != 0
    assert "CASE_PARTS: cache" in ended.stderr


@pytest.mark.parametrize("half", ["mapped", "plain"])
def test_both_halves_of_the_pair_have_the_same_page(half: str, variables: dict[str, str | None]) -> None:
    with Server(f"{half}:app", cwd=CASE / "pair", env=variables) as server:
        page = server.get("/page?from=90").json()
        assert [user["id"] for user in page] == list(range(91, 101))
        assert page[0]["name"] == "user91"
        assert server.get("/hold").text == "100"


def test_a_replayed_day_is_used_from_seven_to_eleven_at_night_and_has_three_reports() -> None:
    site = states.Site(Path("python"), Path("lowmem-serve"), {}, 50, 400, Path("empty.toml"))
    hours, requests = zip(*day.schedule(site), strict=True)
    assert list(hours) == sorted(hours)
    assert day.OPENS <= hours[0] < day.OPENS + 1
    assert day.CLOSES - 1 < hours[-1] <= day.CLOSES
    reports = [hour for hour, each in zip(hours, requests, strict=True) if each.kind == "report"]
    assert [int(hour) for hour in reports] == list(day.REPORTS)
    assert list(requests) == [each for _, each in day.schedule(site)]
    assert {each.kind for each in requests} == {"course", "list", "search", "login", "report"}


def test_the_picture_has_each_step_and_both_days(tmp_path: Path) -> None:
    times = {"first_ms": 1.0, "median_ms": 1.0, "first_report_ms": 1.0, "report_ms": 1.0, "wake_ms": None}
    steps = [
        states.Weighed(name, is_step, first=9.0, web=web, indexer=indexer, **times)
        for name, is_step, web, indexer in (
            ("old", True, 200.0, 400.0),
            ("peer", False, 99.0, 0.0),
            ("new", True, 20.0, 0.0),
        )
    ]
    days = [
        day.Day("before", [1.0, 12.0], [100.0, 200.0], [400.0, 400.0]),
        day.Day("after", [1.0, 12.0], [1.0, 20.0], [0.0, 0.0], [(12.0, "recycled"), (1.0, "job")]),
    ]
    picture.draw(steps, days, tmp_path / "case.svg")
    text = (tmp_path / "case.svg").read_text()
    for word in ("old", "new", "600 MB", "20.0 MB", "recycled", "index made", "hour of a replayed day"):
        assert word in text, word
    assert "peer" not in text
