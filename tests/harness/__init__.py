"""The tools of the tests: a server that runs for real, and a client that sees every byte.

with Server("hello:app", "--workers", "2") as server:
    response = server.get("/")
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n")
        assert client.read_response().status == 200
"""

from harness import processes, scheduling
from harness.lines import Lines
from harness.raw_client import RawClient, Response
from harness.server import APPS, REPOSITORY, Finished, Server, command_line, run

__all__ = [
    "APPS",
    "REPOSITORY",
    "Finished",
    "Lines",
    "RawClient",
    "Response",
    "Server",
    "command_line",
    "processes",
    "run",
    "scheduling",
]
