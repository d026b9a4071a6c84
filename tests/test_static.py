"""Static files, served without the application."""

import ast
import hashlib
import os
import re
import socket
import threading
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest

from harness import run
from harness.authority import Authority
from harness.raw_client import encode_request
from harness.site import LARGE, STYLE
from harness.websocket_client import WebSocketClient

HUGE = 256 * 1024 * 1024


# --- what is served


def test_a_file_is_served_with_what_a_client_needs_to_keep_it(serving, site: Path) -> None:
    response = serving().get("/static/style.css")
    assert (response.status, response.body) == (200, STYLE)
    assert response.header("content-type") == "text/css; charset=utf-8"
    assert response.header("content-length") == str(len(STYLE))
    assert response.header("accept-ranges") == "bytes"
    modified = (site / "style.css").stat().st_mtime
    assert response.header("last-modified") == formatdate(int(modified), usegmt=True)
    assert re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+"', response.header("etag") or "")
    assert response.header("date") and response.header("server")
    assert response.header("cache-control") is None


def test_other_paths_are_the_applications(serving) -> None:
    started = serving()
    assert started.get("/staticx/style.css").json()["path"] == "/staticx/style.css"
    assert started.get("/").json()["path"] == "/"


def test_the_application_is_never_called_for_files(server, site: Path) -> None:
    started = server("http_bare:app", "--static", f"/static={site}", "--limit-max-requests", "1000")
    with started.connect() as client:
        for _ in range(3):
            assert client.get("/static/style.css").body == STYLE
    assert started.stderr.text.count("Exception") == 0


def test_a_large_file_arrives_whole(serving, site: Path) -> None:
    response = serving().get("/static/large.bin")
    assert response.header("content-length") == str(LARGE)
    assert response.header("content-type") == "application/octet-stream"
    assert (
        hashlib.sha256(response.body).digest() == hashlib.sha256((site / "large.bin").read_bytes()).digest()
    )


def test_a_file_that_the_kernel_has_forgotten_arrives_whole(serving, site: Path) -> None:
    path = site / "large.bin"
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert serving().get("/static/large.bin").body == path.read_bytes()


def test_an_empty_file_is_a_file(serving) -> None:
    response = serving().get("/static/empty.txt")
    assert (response.status, response.header("content-length"), response.body) == (200, "0", b"")


def test_files_of_a_kept_connection_come_in_their_order(serving, site: Path) -> None:
    with serving().connect() as client:
        targets = ["/static/large.bin", "/static/style.css", "/", "/static/nothing", "/static/large.bin"]
        client.send(b"".join(encode_request("GET", target) for target in targets))
        large, style, application, nothing, again = [client.read_response() for _ in targets]
    assert large.body == again.body == (site / "large.bin").read_bytes()
    assert style.body == STYLE
    assert application.json()["path"] == "/"
    assert nothing.status == 404


def test_a_file_over_a_unix_socket(server, site: Path, tmp_path: Path) -> None:
    started = server("hello:app", "--static", f"/static={site}", "--uds", str(tmp_path / "a.sock"))
    assert started.get("/static/large.bin").body == (site / "large.bin").read_bytes()


def test_files_go_through_tls(server, site: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    started = server("hello:app", *authority.flags, "--static", f"/static={site}")
    with started.connect(tls=authority.trusting()) as client:
        assert client.get("/static/large.bin").body == (site / "large.bin").read_bytes()
        several = client.get("/static/large.bin", {"range": "bytes=0-99,1000000-1999999"})
        assert (several.status, len(several.body) > 1_000_100) == (206, True)
        assert client.get("/static/style.css").body == STYLE


def test_files_go_through_http2(serving, site: Path) -> None:
    started, data = serving(), (site / "large.bin").read_bytes()
    with httpx.Client(http1=False, http2=True, base_url=started.url) as client:
        large = client.get("/static/large.bin")
        assert (large.http_version, large.content) == ("HTTP/2", data)
        part = client.get("/static/large.bin", headers={"range": "bytes=1000000-1999999"})
        assert (part.status_code, part.content) == (206, data[1000000:2000000])
        style = client.get("/static/style.css")
        assert style.content == STYLE
        again = client.get("/static/style.css", headers={"if-none-match": style.headers["etag"]})
        assert again.status_code == 304
        assert client.head("/static/large.bin").headers["content-length"] == str(LARGE)
        assert client.get("/").json()["path"] == "/"


def test_head_says_what_get_would_bring(serving) -> None:
    started = serving()
    with started.connect() as client:
        head = client.request("HEAD", "/static/large.bin")
        assert (head.status, head.header("content-length")) == (200, str(LARGE))
        assert client.get("/static/style.css").header("etag")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_not_allowed(serving, method: str) -> None:
    response = serving().request(method, "/static/style.css", body=b"x")
    assert (response.status, response.header("allow")) == (405, "GET, HEAD")


def test_names_are_decoded(serving) -> None:
    assert serving().get("/static/deep/a%20b.txt?x=1").text == "spaces"


def test_served_files_are_in_the_access_log(serving) -> None:
    started = serving()
    started.get("/static/style.css?v=1")
    started.stdout.wait_for_line(r'"GET /static/style\.css\?v=1 HTTP/1\.1" 200 OK')


def test_a_file_that_becomes_shorter_cuts_the_connection(serving, site: Path) -> None:
    # More than all buffers on the way hold.
    os.truncate(site / "large.bin", HUGE)
    started = serving()
    with started.connect() as client:
        client.send(encode_request("GET", "/static/large.bin"))
        assert client.read_head().status == 200
        os.truncate(site / "large.bin", 1000)
        with pytest.raises((EOFError, ConnectionResetError)):
            while client.read_exactly(65536):
                pass
    started.stderr.wait_for_line("Cannot send the rest of a file")
    assert started.get("/static/style.css").status == 200


def test_a_client_that_goes_away_in_the_middle_harms_no_other(serving) -> None:
    started = serving()
    with started.connect() as client:
        client.send(encode_request("GET", "/static/large.bin"))
        client.read_head()
    assert started.get("/static/style.css").status == 200


def test_a_slow_client_holds_up_no_other(serving) -> None:
    started = serving()
    with started.connect() as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.send(encode_request("GET", "/static/large.bin"))
        slow.read_head()
        assert started.get("/static/large.bin").status == 200


# --- what is not


@pytest.mark.parametrize(
    "target",
    [
        "/static/nothing.txt",
        "/static/style.css/",
        "/static/style.css/x",
        "/static/deep/er/",
        "/static/../outside.txt",
        "/static/deep/../../outside.txt",
        "/static/%2e%2e/outside.txt",
        "/static/..%2foutside.txt",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/style.css%00.txt",
        "/static/escape.txt",
        "/static/absolute.txt",
        "/static/.env",
        "/static/%2eenv",
        "/static/" + "x" * 5000,
    ],
)
def test_what_is_not_there_hidden_or_outside_is_not_found(serving, target: str) -> None:
    response = serving().get(target)
    assert (response.status, response.text) == (404, "Not Found")


def test_well_known_is_served_and_links_inside_are_followed(serving) -> None:
    started = serving()
    assert started.get("/static/.well-known/security.txt").text == "Contact: x"
    assert started.get("/static/inner.css").body == STYLE


def test_neither_fifos_nor_sockets_are_opened(serving, site: Path) -> None:
    os.mkfifo(site / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(site / "sock"))
        started = serving()
        assert started.get("/static/fifo").status == 404
        assert started.get("/static/sock").status == 404


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_forbidden(serving, site: Path) -> None:
    (site / "style.css").chmod(0)
    assert serving().get("/static/style.css").status == 403


# --- directories


def test_a_directory_is_its_index_behind_a_slash(serving) -> None:
    started = serving()
    assert started.get("/static/").text == "<h1>home</h1>"
    assert started.get("/static/deep/").text == "<h1>deep</h1>"


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/static/deep", "./deep/"),
        ("/static/deep?a=b", "./deep/?a=b"),
        ("/static", "./static/"),
    ],
)
def test_a_directory_without_its_slash_is_redirected(serving, target: str, location: str) -> None:
    response = serving().get(target)
    assert (response.status, response.header("location")) == (301, location)


def test_the_index_may_be_another_or_none(serving, site: Path) -> None:
    (site / "home.txt").write_text("home")
    assert serving(options=";index=home.txt").get("/static/").text == "home"
    none = serving(options=";index=")
    assert none.get("/static/").status == 404
    assert none.get("/static/deep").status == 404
    assert none.get("/static/index.html").status == 200


# --- options


def test_a_fallback_is_served_where_nothing_is_found(serving) -> None:
    started = serving(options=";fallback=index.html")
    response = started.get("/static/users/17")
    assert (response.status, response.text) == (200, "<h1>home</h1>")
    assert response.header("content-type") == "text/html; charset=utf-8"
    assert started.get("/static/style.css").body == STYLE
    assert started.request("POST", "/static/users/17", body=b"").status == 405


def test_cache_control_is_sent_with_every_file_and_nothing_else(serving) -> None:
    started = serving(options=";cache=public, max-age=60")
    first = started.get("/static/style.css")
    assert first.header("cache-control") == "public, max-age=60"
    again = started.get("/static/style.css", {"if-none-match": first.header("etag") or ""})
    assert (again.status, again.header("cache-control")) == (304, "public, max-age=60")
    assert started.get("/static/nothing").header("cache-control") is None


def test_what_is_not_there_may_be_passed_to_the_application(server, site: Path) -> None:
    started = server("mirror:app", "--static", f"/={site};pass")
    assert started.get("/style.css").body == STYLE
    assert started.get("/").text == "<h1>home</h1>"
    assert started.get("/api/users").json()["path"] == "/api/users"
    assert started.post("/style.css", b"x").json()["path"] == "/style.css"


def test_a_websocket_is_never_a_file(server, site: Path) -> None:
    started = server("websocket_scope:app", "--static", f"/={site}")
    with WebSocketClient(started.address) as client:
        client.open("/style.css")
        assert ast.literal_eval(client.read_frame().payload.decode())["path"] == "/style.css"
    # Another upgrade is one that a server may ignore.
    fields = {"connection": "upgrade", "upgrade": "h2c"}
    assert started.get("/style.css", fields).body == STYLE


def test_the_longest_path_wins(server, site: Path) -> None:
    mounts = ("--static", f"/={site}", "--static", f"/deeper/still={site}/deep")
    started = server("mirror:app", *mounts)
    assert started.get("/deeper/still/").text == "<h1>deep</h1>"
    assert started.get("/deeper/").status == 404
    assert started.get("/style.css").body == STYLE


def test_mounts_come_from_the_environment_and_a_relative_one_begins_here(server, site: Path) -> None:
    started = server(
        "hello:app",
        "--app-dir",
        str(Path(__file__).parent / "apps"),
        cwd=site.parent,
        env={"LOWMEM_STATIC": "/a=site /b=site/deep"},
    )
    assert started.get("/a/style.css").body == STYLE
    assert started.get("/b/").text == "<h1>deep</h1>"


def test_the_root_path_is_not_part_of_a_mounts_path(serving) -> None:
    # A proxy that mounts the application below /app has taken that away.
    started = serving("--root-path", "/app")
    assert started.get("/static/style.css").body == STYLE
    assert started.get("/app/static/style.css").json()["path"] == "/app/app/static/style.css"


@pytest.mark.parametrize(
    ("mount", "hint"),
    [
        ("/static", "/static=./dir"),
        ("static=.", "not a path"),
        ("/static=./nowhere", "No such file or directory"),
        ("/static=hello.py", "not a directory"),
        ("/static=.;what", "there are index=NAME"),
        ("/static=.;fallback=nowhere.html", "nowhere.html"),
        ("/static=.;fallback=../x", "not a file in the directory"),
    ],
)
def test_a_mount_that_makes_no_sense_is_wrong_usage(mount: str, hint: str) -> None:
    ended = run("hello:app", "--static", mount)
    assert ended.returncode == 2
    assert "--static" in ended.stderr and hint in ended.stderr


def test_all_mistakes_in_mounts_are_reported() -> None:
    ended = run("hello:app", "--static", "/a=.", "--static", "/a/=.", "--static", "/b=./nowhere")
    assert ended.returncode == 2
    assert "has a directory already" in ended.stderr and "nowhere" in ended.stderr


# --- what it costs


def test_many_slow_downloads_cost_no_memory_per_file(serving, site: Path) -> None:
    started = serving()
    worker = started.worker_pids()[0]

    def private() -> int:
        rollup = Path(f"/proc/{worker}/smaps_rollup").read_text()
        return sum(int(kb) for kb in re.findall(r"^Private_\w+: +(\d+) kB$", rollup, re.MULTILINE))

    started.get("/static/large.bin")
    before = private()
    clients = []
    try:
        for _ in range(50):
            client = started.connect()
            client.send(encode_request("GET", "/static/large.bin"))
            assert client.read_head().status == 200
            clients.append(client)
        assert private() - before < 50 * 64, "more than 64 KB for each download"
    finally:
        for client in clients:
            client.close()


def test_downloads_run_side_by_side(serving, site: Path) -> None:
    started, data = serving(), (site / "large.bin").read_bytes()
    bodies: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: bodies.append(started.get("/static/large.bin").body))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [data] * 8
