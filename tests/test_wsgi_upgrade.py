"""A WebSocket that a WSGI application is asked for, and that wants the socket for it."""

from conftest import Start

UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_it_is_not_implemented_and_one_line_says_so(server: Start) -> None:
    running = server("wsgi_upgrade:app")
    response = running.get("/socket", UPGRADE)
    assert (response.status, response.text) == (501, "WebSockets over WSGI are not served")
    running.stderr.wait_for_line("WebSocket was asked for, which a WSGI application cannot have")
    assert "Traceback" not in running.stderr


def test_other_errors_and_requests_are_as_ever(server: Start) -> None:
    running = server("wsgi_upgrade:app")
    assert running.get("/other", UPGRADE).status == 500
    assert running.get("/socket").status == 500
    running.stderr.wait_for_line("RuntimeError: Cannot obtain socket")
