"""Static files: what a client that has a version, wants a part, or takes a coding is sent."""

import gzip
import re
from email.utils import formatdate
from pathlib import Path

import pytest

from harness import Response
from harness.site import LARGE, STYLE


def compress(path: Path, suffix: str, data: bytes) -> None:
    path.with_name(path.name + suffix).write_bytes(data)


# --- conditional requests


def test_a_version_that_the_client_has_is_not_sent_again(serving) -> None:
    started = serving()
    with started.connect() as client:
        first = client.get("/static/style.css")
        etag, modified = first.header("etag") or "", first.header("last-modified") or ""
        for condition in [
            {"if-none-match": etag},
            {"if-none-match": f'"x", W/{etag}'},
            {"if-modified-since": modified},
        ]:
            again = client.get("/static/style.css", condition)
            assert (again.status, again.header("etag"), again.header("content-length")) == (304, etag, None)
        changed = client.get("/static/style.css", {"if-none-match": '"x"', "if-modified-since": modified})
        assert changed.body == STYLE


def test_a_changed_file_is_another_version(serving, site: Path) -> None:
    started = serving()
    etag = started.get("/static/style.css").header("etag") or ""
    (site / "style.css").write_bytes(b"new")
    assert started.get("/static/style.css", {"if-none-match": etag}).body == b"new"
    assert started.get("/static/style.css", {"if-match": etag}).status == 412


# --- ranges


def part(response: Response) -> tuple[int, str | None, bytes]:
    return response.status, response.header("content-range"), response.body


def test_a_part_of_a_file(serving, site: Path) -> None:
    data = (site / "large.bin").read_bytes()
    with serving().connect() as client:
        for field, start, end in [
            ("bytes=0-0", 0, 1),
            ("bytes=100-299", 100, 300),
            (f"bytes={LARGE - 5}-", LARGE - 5, LARGE),
            ("bytes=-5", LARGE - 5, LARGE),
            ("bytes=1000000-", 1000000, LARGE),
        ]:
            response = client.get("/static/large.bin", {"range": field})
            assert part(response) == (206, f"bytes {start}-{end - 1}/{LARGE}", data[start:end])


def test_several_parts_of_a_file(serving, site: Path) -> None:
    data = (site / "large.bin").read_bytes()
    response = serving().get("/static/large.bin", {"range": "bytes=0-9,1000000-2000000,-3"})
    assert response.status == 206
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", response.header("content-type") or "")
    assert boundary
    parts = response.body.split(f"\r\n--{boundary[1]}".encode())
    assert (parts[0], parts[-1]) == (b"", b"--\r\n")
    expected = [(0, 10), (1000000, 2000001), (LARGE - 3, LARGE)]
    assert len(parts) == len(expected) + 2
    for each, (start, end) in zip(parts[1:-1], expected, strict=True):
        head, _, content = each.partition(b"\r\n\r\n")
        assert f"content-range: bytes {start}-{end - 1}/{LARGE}".encode() in head
        assert content == data[start:end]


def test_what_the_file_does_not_have_is_416(serving) -> None:
    response = serving().get("/static/style.css", {"range": "bytes=100-"})
    assert part(response)[:2] == (416, f"bytes */{len(STYLE)}")


@pytest.mark.parametrize("field", ["bytes=x", "lines=1-2", "bytes=5-4", "bytes=0-,0-"])
def test_a_range_that_makes_no_sense_is_ignored(serving, field: str) -> None:
    assert part(serving().get("/static/style.css", {"range": field})) == (200, None, STYLE)


def test_a_range_is_sent_only_of_the_version_that_was_meant(serving) -> None:
    started = serving()
    first = started.get("/static/style.css")
    for condition in (first.header("etag") or "", first.header("last-modified") or ""):
        fields = {"range": "bytes=0-3", "if-range": condition}
        assert started.get("/static/style.css", fields).body == STYLE[:4]
    for other in ('"x"', f"W/{first.header('etag')}", formatdate(0, usegmt=True)):
        fields = {"range": "bytes=0-3", "if-range": other}
        assert part(started.get("/static/style.css", fields)) == (200, None, STYLE)


# --- precompressed files


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("br;q=0, zstd;q=0, *", "gzip"),
        ("identity", None),
        ("", None),
        ("gzip;q=0", None),
    ],
)
def test_the_best_coding_that_the_client_takes_is_sent(
    serving, site: Path, accepted: str, coding: str | None
) -> None:
    bodies = {"br": b"brotli", "zstd": b"zstandard", "gzip": gzip.compress(STYLE), None: STYLE}
    for name, suffix in [("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")]:
        compress(site / "style.css", suffix, bodies[name])
    response = serving().get("/static/style.css", {"accept-encoding": accepted})
    assert (response.header("content-encoding"), response.body) == (coding, bodies[coding])
    assert response.header("content-type") == "text/css; charset=utf-8"
    assert response.header("vary") == "accept-encoding"


def test_codings_are_versions_of_their_own(serving, site: Path) -> None:
    compress(site / "style.css", ".gz", gzip.compress(STYLE))
    started = serving()
    plain = started.get("/static/style.css").header("etag")
    fields = {"accept-encoding": "gzip"}
    packed = started.get("/static/style.css", fields).header("etag")
    assert plain != packed
    assert started.get("/static/style.css", {**fields, "if-none-match": packed or ""}).status == 304
    assert started.get("/static/style.css", {**fields, "if-none-match": plain or ""}).status == 200


def test_a_file_without_siblings_does_not_vary(serving) -> None:
    response = serving().get("/static/style.css", {"accept-encoding": "gzip"})
    assert (response.header("vary"), response.header("content-encoding")) == (None, None)
