"""HTTP/2 connections that are ready together: answers wait for each other, and no other connection waits for them."""

from contextlib import ExitStack

from harness.raw_client import encode_request
from harness.scripted import Scripted, body, start

CONNECTIONS = 80
"""More than answers are held at once."""


def test_many_connections_are_all_answered_round_after_round(server, connect):
    running = server("hello:app")
    clients = [connect(running) for _ in range(CONNECTIONS)]
    for _ in range(5):
        streams = [client.request("GET", "/") for client in clients]
        answers = [client.response(stream) for client, stream in zip(clients, streams, strict=True)]
        assert [answer.status for answer in answers] == [200] * CONNECTIONS


def test_they_take_turns_with_those_of_http1(server, connect):
    running = server("hello:app")
    clients = [connect(running) for _ in range(CONNECTIONS)]
    with ExitStack() as opened:
        others = [opened.enter_context(running.connect()) for _ in range(CONNECTIONS)]
        for _ in range(5):
            streams = [client.request("GET", "/") for client in clients]
            for other in others:
                other.send(encode_request("GET", "/"))
            answers = [
                client.response(stream).status for client, stream in zip(clients, streams, strict=True)
            ]
            answers += [other.read_response().status for other in others]
            assert answers == [200] * 2 * CONNECTIONS


def test_an_open_stream_keeps_no_other_from_its_answer(server, connect):
    scripted = Scripted(server("http_script:app"))
    slow = scripted.script(("wait", "go"), start(200), body(b"slow"))
    quick = scripted.script(start(200), body(b"quick"))
    client = connect(scripted.server)
    crowd = [connect(scripted.server) for _ in range(CONNECTIONS)]
    waits = client.request("GET", "/", list(slow.headers.items()))
    asked = [other.request("GET", "/", list(quick.headers.items())) for other in crowd]
    stream = client.request("GET", "/", list(quick.headers.items()))
    assert client.response(stream).body == b"quick"
    answers = [other.response(stream).body for other, stream in zip(crowd, asked, strict=True)]
    assert answers == [b"quick"] * CONNECTIONS
    slow.signal("go")
    assert client.response(waits).body == b"slow"
