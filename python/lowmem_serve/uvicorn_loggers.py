"""Uvicorn's loggers without `--log-config`: as its default configuration has them.

Imported when the application first asks for one of them. The handlers are there to be taken away, replaced or
given filters and formatters. One that nothing was changed of has the server write the line, in the form that
its flags ask for.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO

from lowmem_serve.log_formatters import ACCESS_MESSAGE, TRACE, AccessFormatter, DefaultFormatter, trace_fields

_PLAIN = logging.Formatter()
_error = logging.getLogger("uvicorn.error")
_access = logging.getLogger("uvicorn.access")

# An access record has come as far as to its handler, which leaves the line to the server.
_is_left = False


class Handler(logging.StreamHandler[TextIO]):
    """Writes records in their format, or leaves them to the server."""

    def __init__(
        self, stream: TextIO, formatter: logging.Formatter, leave: Callable[[logging.LogRecord], bool]
    ) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._own = (stream, formatter)
        self._leave = leave

    def emit(self, record: logging.LogRecord) -> None:
        stream, formatter = self._own
        is_own = self.stream is stream and self.formatter is formatter
        if not (is_own and self._leave(record)):
            super().emit(record)


def configure(
    level: int, access_log: bool, stderr_colors: bool, stdout_colors: bool, write: Callable[[int, str], Any]
) -> None:
    """Configure the loggers; `write` writes a log line of the server's."""

    def leave(record: logging.LogRecord) -> bool:
        write(record.levelno, _PLAIN.format(record))
        return True

    logging.addLevelName(TRACE, "TRACE")
    root = logging.getLogger("uvicorn")
    lines = DefaultFormatter("%(levelprefix)s %(message)s", use_colors=stderr_colors)
    accesses = AccessFormatter(
        '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s', use_colors=stdout_colors
    )
    root.addHandler(Handler(sys.stderr, lines, leave))
    root.setLevel(logging.INFO)
    root.propagate = False
    _error.setLevel(level)
    _access.setLevel(level)
    _access.propagate = False
    if access_log:
        _access.addHandler(Handler(sys.stdout, accesses, _leave_access))


def _leave_access(record: logging.LogRecord) -> bool:
    global _is_left
    _is_left = record.msg is ACCESS_MESSAGE
    return _is_left


def event(level: int, message: str, exception: BaseException | None = None) -> None:
    _error.log(level, message, exc_info=exception)


def access(
    client: str, method: str, path: str, version: str, status: int, trace: tuple[str, str] | None
) -> bool:
    """Return whether the server need not write the line."""
    global _is_left
    _is_left = False
    _access.info(ACCESS_MESSAGE, client, method, path, version, status, extra=trace_fields(trace))
    return not _is_left
