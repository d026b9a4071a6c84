"""Django's WSGI handler through real pages: the admin's login with its CSRF token, an upload, a stream, a file."""

import hashlib
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from harness import APPS, Server

FORM = "application/x-www-form-urlencoded"
UPLOAD = random.Random(0).randbytes(5 * 1024 * 1024)


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("django") / "db.sqlite3"
    with Server("wsgi_django:app", env={"DJANGO_DB": str(database)}) as server:
        yield server


def cookies(*values: str) -> str:
    return "; ".join(value.partition(";")[0] for value in values)


def log_in(django: Server, password: str) -> tuple[int, str]:
    """The status that the login form answers, and the cookies it sets."""
    page = django.get("/admin/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token, page.text
    fields = {"username": "ada", "password": password, "csrfmiddlewaretoken": token[1], "next": "/admin/"}
    headers = {"content-type": FORM, "cookie": cookies(*page.all("set-cookie"))}
    answer = django.post("/admin/login/", urlencode(fields).encode(), headers)
    return answer.status, cookies(*answer.all("set-cookie"))


def test_the_admin_lets_in_a_user_with_the_password(django: Server) -> None:
    status, cookie = log_in(django, "lovelace")
    assert status == 302
    page = django.get("/admin/", {"cookie": cookie})
    assert page.status == 200
    assert "Site administration" in page.text and "ada" in page.text


def test_and_no_other(django: Server) -> None:
    assert django.get("/admin/").status == 302
    status, _ = log_in(django, "byron")
    assert status == 200, "the form again"


def test_a_form_without_its_token_is_forbidden(django: Server) -> None:
    answer = django.post("/admin/login/", urlencode({"username": "ada"}).encode(), {"content-type": FORM})
    assert answer.status == 403


def test_an_upload_is_read_from_its_multipart_form(django: Server) -> None:
    part = b'--edge\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    body = part + UPLOAD + b"\r\n--edge--\r\n"
    answer = django.post("/upload", body, {"content-type": "multipart/form-data; boundary=edge"})
    assert answer.json() == {
        "name": "a.bin",
        "bytes": len(UPLOAD),
        "sha256": hashlib.sha256(UPLOAD).hexdigest(),
    }


def test_a_streamed_answer_is_whole(django: Server) -> None:
    response = django.get("/stream")
    assert response.is_chunked
    assert response.text == "".join(f"{number}\n" for number in range(1000))


def test_a_file_is_sent_through_the_servers_own_wrapper(django: Server) -> None:
    assert django.get("/source").body == (APPS / "wsgi_django.py").read_bytes()


def test_threads_share_the_database(django: Server) -> None:
    with ThreadPoolExecutor(8) as clients:
        statuses = clients.map(lambda _: log_in(django, "lovelace")[0], range(24))
        assert set(statuses) == {302}
