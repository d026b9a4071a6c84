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


@pytest.fixture(scope="module", params=["before", "after"])
def site(request: pytest.FixtureRequest, variables: dict[str, str | None]) -> Iterator[Server]:
    with Server("training:app", cwd=CASE / request.param, env=variables) as server:
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
    report = site.request("GET", "/report.png", timeout=60)
    assert (report.status, report.body[:4]) == (200, b"\x89PNG")


def test_the_last_state_keeps_its_budget(variables: dict[str, str | None], tmp_path: Path) -> None:
    asked = ("--request", "/", "--request", "/courses/3", "--starts", "1", "--budget", BUDGET)
    flags = ("--", "--lazy-imports", "auto,training,store")
    env = {**variables, "LOWMEM_STATE_DIR": str(tmp_path)}
    weighed = run("weigh", "training:app", *asked, *flags, cwd=CASE / "after", env=env, timeout=120)
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
        server.stderr.wait_for_line("indexed", 40)
    assert Path(made).exists()
