"""The status server, as Prometheus, a probe and a person ask it."""

import http.client
import json
import re
import socket
from dataclasses import dataclass
from typing import Any

from harness.connection import PATIENCE
from harness.server import Server

SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


class StatusServer:
    """The status server of a server that was started with `--status-bind 127.0.0.1:0` or a Unix socket."""

    def __init__(self, server: Server) -> None:
        found = server.stderr.wait_for_line(r"Status on (?:http://(\S+):(\d+)|unix socket (\S+))")
        self.path = found[3]
        self.address = None if self.path else (found[1], int(found[2]))

    def ask(
        self, target: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Status, content type and body."""
        connection = http.client.HTTPConnection(*(self.address or ("localhost",)), timeout=PATIENCE)
        if self.path:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(self.path)
        try:
            connection.request(method, target, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.getheader("content-type", ""), response.read().decode()
        finally:
            connection.close()

    def get(self, target: str) -> str:
        status, _, text = self.ask(target)
        assert status == 200, (status, text)
        return text

    def status(self) -> dict[str, Any]:
        return json.loads(self.get("/status"))

    def samples(self) -> list[Sample]:
        lines = [line for line in self.get("/metrics").splitlines() if not line.startswith("#")]
        found = [SAMPLE.fullmatch(line) for line in lines]
        assert all(found), lines
        return [
            Sample(one["name"], dict(LABEL.findall(one["labels"] or "")), float(one["value"]))
            for one in found
            if one
        ]

    def total(self, metric: str, **labels: str) -> float:
        """All samples of this name that have these labels, added up."""
        samples = [each for each in self.samples() if each.name == metric]
        return sum(each.value for each in samples if labels.items() <= each.labels.items())

    def requests(self, **labels: str) -> float:
        return self.total("http_server_request_duration_seconds_count", **labels)
