"""The formatters of `uvicorn.logging`, with the same fields, so that Uvicorn need be neither installed nor imported."""

import logging
import sys
from copy import copy
from typing import Literal

TRACE = 5

# The names of the arguments are those of `AccessFormatter`.
ACCESS_MESSAGE = '%s - "%s %s HTTP/%s" %d'

_COLOURS = {TRACE: 34, logging.DEBUG: 36, logging.INFO: 32, logging.WARNING: 33, logging.ERROR: 31}
_CRITICAL_COLOUR = 91
_STATUS_COLOURS = {1: 97, 2: 32, 3: 33, 4: 31, 5: 91}


def trace_fields(trace: tuple[str, str] | None) -> dict[str, str]:
    """The attributes of an access record by which tracing systems find it; `-` where the request has no traceparent."""
    trace_id, span_id = trace or ("-", "-")
    return {"trace_id": trace_id, "span_id": span_id}


class ColourizedFormatter(logging.Formatter):
    """Adds `levelprefix`, the level's name, padded, in its colour on a terminal."""

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style)
        self.use_colors = sys.stdout.isatty() if use_colors is None else use_colors

    def painted(self, text: str, colour: int | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.use_colors and colour is not None else text

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        name = record.levelname
        colour = _CRITICAL_COLOUR if record.levelno >= logging.CRITICAL else _COLOURS.get(record.levelno)
        return {"levelprefix": f"{self.painted(name, colour)}:{' ' * (8 - len(name))}"}

    def formatMessage(self, record: logging.LogRecord) -> str:
        shown = copy(record)
        shown.__dict__.update(self.fields(record))
        return super().formatMessage(shown)


class DefaultFormatter(ColourizedFormatter):
    """For `uvicorn.error` and everything else."""


class AccessFormatter(ColourizedFormatter):
    """For `uvicorn.access`: adds `client_addr`, `request_line` and `status_code` with its phrase."""

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        client, method, path, version, status = record.args  # type: ignore[misc]
        from http import HTTPStatus

        status = int(status)  # type: ignore[call-overload]
        line = f"{method} {path} HTTP/{version}"
        phrase = f"{status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else ''}"
        return super().fields(record) | {
            "client_addr": client,
            "request_line": self.painted(line, 1),
            "status_code": self.painted(phrase, _STATUS_COLOURS.get(status // 100)),
        }
