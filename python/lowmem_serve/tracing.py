"""The request that this code works for, where the server names requests (`--request-id`).

    from lowmem_serve.tracing import request_id
    request_id.get()

Both variables are set in the context of each request, so in its tasks and threads, and in its isolated calls.
"""

from collections.abc import Callable
from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request's `x-request-id`, the one that it brings or the one that it was given."""

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The request's `traceparent`, if it brings one (W3C Trace Context)."""

write_line: Callable[[str, str, str | None, str], None] | None = None
"""Writes a line of an isolated function into the server's log; set by a worker that names requests."""
