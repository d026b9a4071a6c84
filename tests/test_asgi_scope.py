"""Scopes are those of the ASGI specification, in Uvicorn's reading of it."""

import ast
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import Start
from harness import Response, Server
from harness.websocket_client import WebSocketClient

KINDS = {
    "type": "str",
    "asgi": "dict",
    "http_version": "str",
    "method": "str",
    "scheme": "str",
    "path": "str",
    "raw_path": "bytes",
    "query_string": "bytes",
    "root_path": "str",
    "headers": "list",
    "client": "tuple",
    "server": "tuple",
    "state": "dict",
}


@pytest.fixture(scope="module")
def scopes() -> Iterator[Server]:
    with Server("http_scope:app") as server:
        yield server


def answer_of(response: Response) -> dict[str, Any]:
    assert response.status == 200, response
    return ast.literal_eval(response.text)


def scope_of(response: Response) -> dict[str, Any]:
    return answer_of(response)["scope"]


def exchange(server: Server, request: bytes) -> Response:
    with server.connect() as client:
        client.send(request)
        return client.read_response()


def test_a_plain_request_has_exactly_the_scope_of_the_specification(scopes: Server) -> None:
    with scopes.connect() as client:
        scope = scope_of(client.get("/a?b=c", {"host": "x", "x-y": "z"}))
        own_address = client.socket.getsockname()
    scope.pop("extensions", None)
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a",
        "raw_path": b"/a",
        "query_string": b"b=c",
        "root_path": "",
        "headers": [(b"host", b"x"), (b"x-y", b"z")],
        "client": own_address,
        "server": scopes.address,
        "state": {"started": ["once"]},
    }


def test_every_value_has_the_plain_type_of_the_specification(scopes: Server) -> None:
    answer = answer_of(scopes.get("/a"))
    assert answer["kinds"].pop("extensions", "dict") == "dict"
    assert answer["kinds"] == KINDS
    assert answer["scope_kind"] == "dict"


def test_no_extension_is_advertised_unasked(scopes: Server) -> None:
    """Frameworks act on what is announced, and an application that works below Uvicorn works here."""
    assert scope_of(scopes.get("/")).get("extensions", {}) == {}


def test_pathsend_is_advertised_where_it_is_asked_for(server: Start) -> None:
    scope = scope_of(server("http_scope:app", "--pathsend").get("/"))
    assert scope["extensions"] == {"http.response.pathsend": {}}


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X-OWN"]
)
def test_any_method_reaches_the_application(scopes: Server, method: str) -> None:
    assert scope_of(scopes.request(method, "/"))["method"] == method


def test_a_method_in_lower_case_is_refused_or_told_in_upper_case(scopes: Server) -> None:
    response = scopes.request("get", "/")
    assert response.status == 400 or scope_of(response)["method"] == "GET"


def test_http_1_0_is_told_as_1_0(scopes: Server) -> None:
    scope = scope_of(exchange(scopes, b"GET / HTTP/1.0\r\n\r\n"))
    assert scope["http_version"] == "1.0"
    assert scope["headers"] == []


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", b"/", b""),
        ("/a%20b", "/a b", b"/a%20b", b""),
        ("/a+b", "/a+b", b"/a+b", b""),
        ("/a%2Fb/%2e%2e", "/a/b/..", b"/a%2Fb/%2e%2e", b""),
        ("/a%252Fb", "/a%2Fb", b"/a%252Fb", b""),
        ("/caf%C3%A9", "/café", b"/caf%C3%A9", b""),
        ("/%F0%9F%90%8D", "/\N{SNAKE}", b"/%F0%9F%90%8D", b""),
        ("/%ff", "/\ufffd", b"/%ff", b""),
        ("/a%FFb%C3", "/a\ufffdb\ufffd", b"/a%FFb%C3", b""),
        ("/a%", "/a%", b"/a%", b""),
        ("/a%zz", "/a%zz", b"/a%zz", b""),
        ("/a%3Fb?c", "/a?b", b"/a%3Fb", b"c"),
        ("/a%00b", "/a\0b", b"/a%00b", b""),
        ("/../a/./b", "/../a/./b", b"/../a/./b", b""),
        ("//", "//", b"//", b""),
        ("//a//b", "//a//b", b"//a//b", b""),
        ("//user@host:80/a", "//user@host:80/a", b"//user@host:80/a", b""),
        ("/http://x/y", "/http://x/y", b"/http://x/y", b""),
        ("/a;v=1,2:3@4", "/a;v=1,2:3@4", b"/a;v=1,2:3@4", b""),
        ("/?", "/", b"/", b""),
        ("/a?", "/a", b"/a", b""),
        ("/a??b", "/a", b"/a", b"?b"),
        ("/a?b?c=/d", "/a", b"/a", b"b?c=/d"),
        ("/a?b=%20+%zz&&c", "/a", b"/a", b"b=%20+%zz&&c"),
        ("/a?" + "q" * 20_000, "/a", b"/a", b"q" * 20_000),
    ],
)
def test_the_target_is_taken_apart(
    scopes: Server, target: str, path: str, raw_path: bytes, query: bytes
) -> None:
    scope = scope_of(scopes.get(target))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_a_fragment_never_reaches_the_application(scopes: Server) -> None:
    response = scopes.get("/a?b#c")
    if response.status != 400:
        scope = scope_of(response)
        assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a", b"/a", b"b")


def test_bytes_beyond_ascii_in_the_target_are_refused_or_decoded(scopes: Server) -> None:
    response = exchange(scopes, "GET /café HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    assert response.status == 400 or scope_of(response)["path"] == "/café"


def test_an_absolute_target_is_read_like_its_path(scopes: Server) -> None:
    scope = scope_of(scopes.get("http://a.example:80/b%20c?d", {"host": "a.example:80"}))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/b c", b"/b%20c", b"d")
    assert scope["headers"] == [(b"host", b"a.example:80")]


def test_an_absolute_target_without_a_path_means_the_root(scopes: Server) -> None:
    scope = scope_of(scopes.get("http://a.example?d", {"host": "a.example"}))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/", b"/", b"d")


def test_the_host_of_an_absolute_target_wins_over_the_header(scopes: Server) -> None:
    """RFC 9112 section 3.2.2."""
    scope = scope_of(scopes.get("http://right.example/", {"x-first": "1", "host": "wrong.example"}))
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"right.example"]


def test_options_may_ask_about_the_whole_server(scopes: Server) -> None:
    scope = scope_of(scopes.request("OPTIONS", "*"))
    assert (scope["path"], scope["raw_path"]) == ("*", b"*")


@pytest.mark.parametrize(
    ("method", "target"),
    [("CONNECT", "a.example:443"), ("CONNECT", "/"), ("GET", "*"), ("GET", "a.example:443"), ("GET", "a/b")],
)
def test_a_target_that_does_not_suit_the_method_is_refused(scopes: Server, method: str, target: str) -> None:
    with scopes.connect() as client:
        assert client.request(method, target).status in (400, 405, 501)
        assert client.is_closed_by_server()


def test_header_names_are_lower_case_and_values_are_stripped(scopes: Server) -> None:
    request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Mixed-Case:  \t Some  Value \t \r\nX-Empty:\r\nX-Blank:  \r\n\r\n"
    )
    assert scope_of(exchange(scopes, request))["headers"] == [
        (b"host", b"a"),
        (b"x-mixed-case", b"Some  Value"),
        (b"x-empty", b""),
        (b"x-blank", b""),
    ]


def test_headers_keep_their_order_and_their_duplicates(scopes: Server) -> None:
    sent = [
        ("b", "1"),
        ("host", "x"),
        ("a", "2"),
        ("B", "3"),
        ("cookie", "c=1"),
        ("a", "2"),
        ("cookie", "d=2"),
    ]
    expected = [(name.lower().encode(), value.encode()) for name, value in sent]
    assert scope_of(scopes.get("/", sent))["headers"] == expected


def test_header_values_are_bytes_beyond_ascii_too(scopes: Server) -> None:
    headers = dict(scope_of(scopes.get("/", {"x-a": "caf\xe9", "x-tab": "a\tb"}))["headers"])
    assert headers[b"x-a"] == b"caf\xe9"
    assert headers[b"x-tab"] == b"a\tb"


def test_many_headers_of_ordinary_size_are_welcome(scopes: Server) -> None:
    sent = [(f"x-{n}", "v" * 300) for n in range(90)]
    assert len(scope_of(scopes.get("/", sent))["headers"]) == 91


def test_framing_and_connection_headers_are_shown_as_sent(scopes: Server) -> None:
    sent = [("host", "a"), ("connection", "keep-alive, x"), ("content-length", "2"), ("te", "trailers")]
    scope = scope_of(scopes.request("POST", "/", sent, b"ab"))
    assert scope["headers"] == [(name.encode(), value.encode()) for name, value in sent]


def test_one_requests_changes_to_its_scope_do_not_reach_the_next(scopes: Server) -> None:
    with scopes.connect() as client:
        first, second = (scope_of(client.get("/", {"host": "a"})) for _ in range(2))
    assert first == second
    assert second["state"] == {"started": ["once"]}


def test_every_scope_has_dictionaries_and_lists_of_its_own(scopes: Server) -> None:
    """Compared while both are alive, since the address of a dead object is used again."""
    with scopes.connect() as client:
        first, second = (answer_of(client.get("/keep"))["identities"] for _ in range(2))
    assert not set(first.values()) & set(second.values())


def test_the_root_path_is_put_before_the_path(server: Any) -> None:
    scope = scope_of(server("http_scope:app", "--root-path", "/api/v1").get("/a%20b?c"))
    assert scope["root_path"] == "/api/v1"
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (
        "/api/v1/a b",
        b"/api/v1/a%20b",
        b"c",
    )


def test_without_lifespan_the_state_is_an_empty_dictionary(server: Any) -> None:
    assert scope_of(server("http_scope:app", "--lifespan", "off").get("/"))["state"] == {}


def test_the_client_and_server_addresses_of_ipv6_are_pairs_too(server: Any) -> None:
    running = server("http_scope:app", "--host", "::1")
    with running.connect() as client:
        scope = scope_of(client.get("/"))
        assert scope["client"] == client.socket.getsockname()[:2]
    assert scope["server"] == ("::1", running.port)


def test_websockets_share_the_fields_that_clients_have_alike_and_none_of_their_own(server, tmp_path) -> None:
    (tmp_path / "application.py").write_text(
        textwrap.dedent(
            """
            scopes = []

            async def app(scope, receive, send):
                if scope["type"] != "websocket":
                    raise NotImplementedError
                await receive()
                await send({"type": "websocket.accept"})
                scopes.append({pair[0].decode(): pair for pair in scope["headers"]})
                scope["headers"].append((b"x-changed", b"1"))
                first, last = scopes[0], scopes[-1]
                assert first.keys() == last.keys()
                same = sorted(name for name in first if first[name] is last[name])
                await send({"type": "websocket.send", "text": " ".join(same)})
                await receive()
            """
        )
    )
    started = server("application:app", cwd=tmp_path)
    fields = [("user-agent", "test"), ("cookie", "a=b"), ("x-long", "y" * 300)]
    with WebSocketClient(started.address) as first, WebSocketClient(started.address) as second:
        for client in (first, second):
            client.open("/", fields)
        first.read_text()
        assert second.read_text() == "connection host sec-websocket-version upgrade user-agent"
