"""Every route of every example, through the built server: with imports at once, and with lazy ones."""

import hashlib
import json
import random
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from harness import REPOSITORY, RawClient, Server, run

EXAMPLES = REPOSITORY / "examples"
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
FIVE_MEGABYTES = random.Random(0).randbytes(5 * 1024 * 1024)


def example(name: str, **env: str) -> Server:
    return Server("app:app", cwd=EXAMPLES / name, env=env)


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


def read_event(client: RawClient) -> dict[str, str]:
    """One server-sent event, which these examples send as one piece."""
    lines = client.read_chunk().decode().strip().split("\n")
    return dict(line.split(": ", 1) for line in lines)


def arrivals(server: Server, target: str) -> list[tuple[float, str]]:
    """The pieces of a streamed answer, each with the time of its arrival."""
    with server.connect() as client:
        client.send(f"GET {target} HTTP/1.1\r\nhost: test.example\r\n\r\n".encode())
        assert client.read_head().is_chunked
        pieces = []
        while piece := client.read_chunk():
            pieces.append((time.monotonic(), piece.decode()))
        return pieces


def spread_out(server: Server, target: str, seconds: float) -> list[str]:
    """The pieces, the last of which comes so long after the first. A client that is kept waiting for a CPU finds the
    first ones late and together: one of some answers is enough, as none would be if pieces were held back."""
    spreads = []
    for _ in range(10):
        pieces = arrivals(server, target)
        spreads.append(pieces[-1][0] - pieces[0][0])
        if spreads[-1] >= seconds:
            return [text for _, text in pieces]
    raise AssertionError(f"all came within {spreads} s, as if they had been held back")


@pytest.fixture(scope="module", params=["off", "auto,app"])
def imports(request: pytest.FixtureRequest) -> str:
    """What `--lazy-imports` says."""
    return str(request.param)


@pytest.fixture(scope="module")
def database(imports: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quart") / "guestbook.sqlite3"


@pytest.fixture(scope="module")
def quart(imports: str, database: Path) -> Iterator[Server]:
    caches = str(database.parent / "caches")
    changes = {"QUART_DB": str(database), "LOWMEM_LAZY_IMPORTS": imports, "LOWMEM_CACHE_DIR": caches}
    with example("quart_app", **changes) as server:
        yield server


@pytest.fixture(scope="module")
def starlette(imports: str) -> Iterator[Server]:
    with example("starlette_app", LOWMEM_LAZY_IMPORTS=imports) as server:
        yield server


@pytest.fixture(scope="module")
def fastapi(imports: str) -> Iterator[Server]:
    with example("fastapi_app", LOWMEM_LAZY_IMPORTS=imports) as server:
        yield server


@pytest.fixture(scope="module")
def django(imports: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = str(tmp_path_factory.mktemp("django") / "db.sqlite3")
    with example("django_app", DJANGO_DB=database, LOWMEM_LAZY_IMPORTS=imports) as server:
        yield server


@pytest.fixture(scope="module")
def django_wsgi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = str(tmp_path_factory.mktemp("django") / "db.sqlite3")
    with Server("app:wsgi", cwd=EXAMPLES / "django_app", env={"DJANGO_DB": database}) as server:
        yield server


@pytest.fixture(scope="module")
def flask() -> Iterator[Server]:
    with example("flask_app") as server:
        yield server


class TestQuart:
    @pytest.mark.parametrize("page", ["/", "/live", "/upload"])
    def test_a_page_is_rendered_from_its_template(self, quart: Server, page: str) -> None:
        response = quart.get(page)
        assert response.status == 200
        assert response.header("content-type") == "text/html; charset=utf-8"
        assert response.text.startswith("<!doctype html>")

    def test_a_note_signed_in_the_form_is_on_the_page_with_its_markup_escaped(self, quart: Server) -> None:
        answer = quart.post("/notes", form(author="Ada & Co", text="<b>first</b> ☕"), FORM)
        assert (answer.status, answer.header("location")) == (303, "/")
        assert "&lt;b&gt;first&lt;/b&gt; ☕" in quart.get("/").text

    def test_a_note_is_a_page_whose_markdown_is_rendered_once(self, quart: Server) -> None:
        text = "**bold** <b>no</b> [x](javascript:alert(1))"
        added = quart.post("/api/notes", json.dumps({"author": "Eve", "text": text}).encode(), JSON)
        where = f"/notes/{added.json()['number']}"
        page = quart.get(where).text
        assert "<strong>bold</strong> &lt;b&gt;no&lt;/b&gt;" in page and 'href="javascript' not in page
        assert quart.get(where).text == page and quart.get("/notes/0").status == 404

    def test_an_empty_note_is_refused(self, quart: Server) -> None:
        assert quart.post("/notes", form(author=" ", text=""), FORM).status == 400

    def test_a_note_is_added_read_and_deleted_as_json(self, quart: Server) -> None:
        added = quart.post("/api/notes", json.dumps({"author": "Bo", "text": "as JSON"}).encode(), JSON)
        assert added.status == 201
        note = added.json()
        where = f"/api/notes/{note['number']}"
        assert quart.get(where).json() == note
        assert note in quart.get("/api/notes").json()["notes"]
        assert quart.request("DELETE", where).status == 204
        assert quart.get(where).status == 404

    def test_a_note_is_a_row_of_the_database(self, quart: Server, database: Path) -> None:
        quart.post("/notes", form(author="Cy", text="kept"), FORM)
        rows = sqlite3.connect(database).execute("SELECT text FROM note WHERE author = 'Cy'").fetchall()
        assert rows == [("kept",)]

    def test_notes_outlive_the_server(self, tmp_path: Path) -> None:
        where = str(tmp_path / "notes.sqlite3")
        with example("quart_app", QUART_DB=where) as first:
            first.post("/notes", form(author="Di", text="still here"), FORM)
        with example("quart_app", QUART_DB=where) as second:
            assert "still here" in second.get("/").text

    def test_an_upload_is_counted_and_hashed_as_it_comes_in(self, quart: Server) -> None:
        answer = quart.post("/api/upload", FIVE_MEGABYTES).json()
        assert answer["bytes"] == len(FIVE_MEGABYTES)
        assert answer["sha256"] == hashlib.sha256(FIVE_MEGABYTES).hexdigest()
        assert answer["pieces"] > 1

    def test_a_chunked_upload_arrives_whole(self, quart: Server) -> None:
        with quart.connect() as client:
            client.send(b"POST /api/upload HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            for start in range(0, len(FIVE_MEGABYTES), 100_000):
                piece = FIVE_MEGABYTES[start : start + 100_000]
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.send(b"0\r\n\r\n")
            assert client.read_response().json()["sha256"] == hashlib.sha256(FIVE_MEGABYTES).hexdigest()

    def test_a_stream_arrives_in_pieces_as_they_are_made(self, quart: Server) -> None:
        pieces = spread_out(quart, "/countdown/4", 0.3)
        assert pieces == ["4\n", "3\n", "2\n", "1\n", "lift-off\n"]

    def test_the_export_holds_every_note(self, quart: Server) -> None:
        quart.post("/notes", form(author="Ed", text='says "hi", twice'), FORM)
        export = quart.get("/export.csv")
        assert export.header("content-type") == "text/csv; charset=utf-8"
        assert export.text.startswith("number,written_at,author,text\r\n")
        assert 'Ed,"says ""hi"", twice"\r\n' in export.text

    def test_an_event_arrives_when_its_note_is_written(self, quart: Server) -> None:
        with quart.connect() as listener:
            listener.send(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n")
            assert listener.read_head().header("content-type") == "text/event-stream"
            assert read_event(listener)["event"] == "welcome"
            for text in ("one", "two"):
                quart.post("/notes", form(author="Flo", text=text), FORM)
                event = read_event(listener)
                assert event["event"] == "note"
                assert json.loads(event["data"])["text"] == text

    def test_the_report_is_drawn_in_a_process_of_its_own(self, quart: Server) -> None:
        quart.post("/notes", form(author="Gus", text="drawn"), FORM)
        # matplotlib's first import on a machine looks at its fonts.
        report = quart.request("GET", "/report.png", timeout=120)
        assert report.header("content-type") == "image/png" and report.body.startswith(b"\x89PNG")
        worker = quart.only_worker()
        maps = Path(f"/proc/{worker}/maps").read_text()
        assert "pandas" not in maps and "matplotlib" not in maps

    def test_the_nightly_job_counts_the_notes(self, tmp_path: Path) -> None:
        where = {"QUART_DB": str(tmp_path / "notes.sqlite3"), "RUNTIME_DIRECTORY": str(tmp_path)}
        state = ("--state-dir", str(tmp_path / "state"))
        with Server(
            "app:app", "--config", "jobs.toml", *state, cwd=EXAMPLES / "quart_app", env=where
        ) as server:
            assert server.get("/statistics").json() == {"days": []}
            for author in ("Hal", "Ida", "Hal"):
                server.post("/notes", form(author=author, text="counted"), FORM)
            assert run("jobs", "run", "statistics", "--wait", str(server.pid)).returncode == 0
            server.stderr.wait_for_line("3 notes on 1 days job=statistics run=1")
            (day,) = server.get("/statistics").json()["days"]
            assert (day["notes"], day["authors"]) == (3, 2)

    def test_health_counts_the_notes(self, quart: Server) -> None:
        assert quart.get("/health").json()["status"] == "ok"

    def test_a_missing_page_is_404(self, quart: Server) -> None:
        assert quart.get("/nowhere").status == 404


class TestHello:
    def test_it_greets_and_stops_cleanly(self) -> None:
        with example("hello") as server:
            response = server.get("/")
            assert (response.status, response.body) == (200, b"Hello, world!\n")
            assert server.terminate() == 0
            assert "Application shutdown complete." in server.stderr.wait_for_end()


class TestStarlette:
    def test_the_page_is_html(self, starlette: Server) -> None:
        assert starlette.get("/").text.startswith("<!doctype html>")

    def test_json_shows_the_lifespan_state(self, starlette: Server) -> None:
        first, second = starlette.get("/status").json(), starlette.get("/status").json()
        assert first["framework"] == "starlette"
        assert first["started_at"] == second["started_at"]

    def test_a_form_is_parsed(self, starlette: Server) -> None:
        assert starlette.post("/greet", form(name="Zoë"), FORM).json() == {"greeting": "Hello, Zoë!"}

    def test_an_upload_is_hashed(self, starlette: Server) -> None:
        answer = starlette.post("/upload", FIVE_MEGABYTES).json()
        assert answer == {"bytes": len(FIVE_MEGABYTES), "sha256": hashlib.sha256(FIVE_MEGABYTES).hexdigest()}

    def test_a_stream_arrives_in_pieces_as_they_are_made(self, starlette: Server) -> None:
        assert spread_out(starlette, "/count", 0.15) == ["0\n", "1\n", "2\n"]

    def test_events_arrive_one_at_a_time(self, starlette: Server) -> None:
        pieces = spread_out(starlette, "/events", 0.15)
        assert [text.split("\n")[0] for text in pieces] == ["id: 0", "id: 1", "id: 2"]


class TestFastAPI:
    def test_the_index_is_json(self, fastapi: Server) -> None:
        assert fastapi.get("/").json()["framework"] == "fastapi"

    def test_a_task_is_added_and_read(self, fastapi: Server) -> None:
        added = fastapi.post("/tasks", json.dumps({"title": "write"}).encode(), JSON)
        assert added.status == 201
        task = added.json()
        assert fastapi.get(f"/tasks/{task['id']}").json() == task
        assert task in fastapi.get("/tasks").json()

    def test_a_missing_task_is_404(self, fastapi: Server) -> None:
        assert fastapi.get("/tasks/999").status == 404

    def test_an_invalid_task_is_422(self, fastapi: Server) -> None:
        assert fastapi.post("/tasks", b'{"title": ""}', JSON).status == 422

    def test_a_form_is_parsed(self, fastapi: Server) -> None:
        assert fastapi.post("/greet", form(name="Zoë"), FORM).json() == {"greeting": "Hello, Zoë!"}

    def test_a_multipart_upload_is_read(self, fastapi: Server) -> None:
        part = b'--edge\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        body = part + FIVE_MEGABYTES + b"\r\n--edge--\r\n"
        answer = fastapi.post("/upload", body, {"content-type": "multipart/form-data; boundary=edge"})
        assert answer.json() == {"filename": "a.bin", "bytes": len(FIVE_MEGABYTES)}

    def test_its_documentation_is_served(self, fastapi: Server) -> None:
        assert "swagger" in fastapi.get("/docs").text
        assert "/tasks" in fastapi.get("/openapi.json").json()["paths"]


@pytest.fixture(params=["django", "django_wsgi"])
def site(request: pytest.FixtureRequest, imports: str) -> Server:
    return request.getfixturevalue(request.param)


class TestDjango:
    def test_the_page_is_html(self, site: Server) -> None:
        response = site.get("/")
        assert response.status == 200
        assert "<h1>Guests</h1>" in response.text

    def test_a_form_with_its_csrf_token_adds_a_guest(self, site: Server) -> None:
        page = site.get("/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        cookie = (page.header("set-cookie") or "").partition(";")[0]
        assert token
        body = form(name="Grace", csrfmiddlewaretoken=token[1])
        answer = site.post("/guests", body, {**FORM, "cookie": cookie})
        assert (answer.status, answer.header("location")) == (302, "/")
        assert "Grace" in site.get("/").text
        assert "Grace" in site.get("/guests.json").json()["guests"]

    def test_a_form_without_the_token_is_forbidden(self, site: Server) -> None:
        assert site.post("/guests", form(name="Mallory"), FORM).status == 403


class TestFlask:
    def test_the_page_is_html(self, flask: Server) -> None:
        response = flask.get("/")
        assert response.header("content-type") == "text/html; charset=utf-8"
        assert "<h1>Wishes</h1>" in response.text

    def test_a_wish_is_on_the_page_and_told_once_with_its_markup_escaped(self, flask: Server) -> None:
        answer = flask.post("/wishes", form(text="a <b>boat</b> ☕"), FORM)
        assert (answer.status, answer.header("location")) == (303, "/")
        cookie = {"cookie": (answer.header("set-cookie") or "").partition(";")[0]}
        page = flask.get("/", cookie)
        assert page.text.count("&lt;b&gt;boat&lt;/b&gt; ☕") == 2, "in the list and in the message"
        assert "a <b>boat</b> ☕" in flask.get("/wishes.json").json()["wishes"]

    def test_an_empty_wish_is_refused(self, flask: Server) -> None:
        assert flask.post("/wishes", form(text=" "), FORM).status == 400

    def test_an_upload_is_hashed(self, flask: Server) -> None:
        answer = flask.post("/upload", FIVE_MEGABYTES).json()
        assert answer == {"bytes": len(FIVE_MEGABYTES), "sha256": hashlib.sha256(FIVE_MEGABYTES).hexdigest()}

    def test_a_stream_arrives_in_pieces_as_they_are_made(self, flask: Server) -> None:
        assert spread_out(flask, "/countdown", 0.15) == ["3\n", "2\n", "1\n", "lift-off\n"]
