"""The flags of lowmem-serve, and what each is for Uvicorn."""

import math
from collections.abc import Callable
from dataclasses import dataclass

Words = list[str]


class Refused(Exception):
    """A request that cannot be served here, with the reason."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag."""

    name: str
    """Without dashes in front."""
    kind: str
    """`value`; `switch`, which takes none; `boolean`, which may be negated and may take one after `=`."""
    translate: Callable[[str], Words] | None
    """Uvicorn's words for a value; None where the flag has no effect under Uvicorn."""
    repeatable: bool = False

    @property
    def variable(self) -> str:
        """Its environment variable, without the prefix."""
        return PLURAL_VARIABLES.get(self.name, self.name.upper().replace("-", "_"))


PLURAL_VARIABLES = {
    "header": "HEADERS",
    "reload-dir": "RELOAD_DIRS",
    "reload-include": "RELOAD_INCLUDES",
    "reload-exclude": "RELOAD_EXCLUDES",
}

TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
FALSE = frozenset(("0", "false", "f", "no", "n", "off"))


def is_true(name: str, value: str) -> bool:
    """The meaning of a boolean's text."""
    if value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise Refused(f"--{name} {value}: neither true nor false")


def same(name: str) -> Callable[[str], Words]:
    """Uvicorn has it under this name, with this meaning."""
    return lambda value: [f"--{name}", value]


def switch(name: str) -> Callable[[str], Words]:
    return lambda value: [f"--{name}"] if is_true(name, value) else []


def negatable(name: str) -> Callable[[str], Words]:
    return lambda value: [f"--{name}" if is_true(name, value) else f"--no-{name}"]


def whole(name: str) -> Callable[[str], Words]:
    """Uvicorn takes whole seconds only."""

    def translate(value: str) -> Words:
        try:
            return [f"--{name}", str(math.ceil(float(value)))]
        except (ValueError, OverflowError):
            raise Refused(f"--{name} {value}: not a number of seconds") from None

    return translate


def chosen(name: str, **words: Words) -> Callable[[str], Words]:
    """Values that are others for Uvicorn; the rest are the same."""
    return lambda value: words.get(f"_{value}", [f"--{name}", value])


def place(value: str) -> Words:
    """Uvicorn's flags for a place of --bind."""
    if value.startswith("unix:"):
        return ["--uds", value.removeprefix("unix:")]
    if value.startswith("fd://"):
        return ["--fd", value.removeprefix("fd://")]
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal():
        raise Refused(f"--bind {value}: no place like 127.0.0.1:8000, [::1]:8000, unix:PATH or fd://N")
    return ["--host", host.strip("[]"), "--port", port]


def refused(name: str, why: str) -> Callable[[str], Words]:
    def translate(value: str) -> Words:
        raise Refused(f"--{name}: {why}")

    return translate


SAME = """app-dir host port uds fd backlog workers reload-delay lifespan interface root-path env-file log-level
    log-config ws ws-max-size ws-max-queue ws-ping-interval ws-ping-timeout ws-per-message-deflate limit-concurrency
    timeout-worker-healthcheck forwarded-allow-ips ssl-keyfile ssl-certfile ssl-keyfile-password ssl-ca-certs
    ssl-version ssl-ciphers h11-max-incomplete-event-size""".split()

SAME_REPEATABLE = "reload-dir reload-include reload-exclude header".split()

SAME_SWITCHES = "factory reload reset-contextvars".split()

SAME_BOOLEANS = "access-log use-colors proxy-headers server-header date-header".split()

WITHOUT_EFFECT = """wsgi-threads lazy-imports python uds-mode drain-delay timeout-worker-startup ttl ttl-jitter
    max-requests max-requests-jitter limit-max-requests limit-max-requests-jitter max-rss recycle sleep-after
    wake-timeout awake timezone keep-template warm-up health-path reload-polling timeout-ssl-handshake http2-max-streams
    timeout-header-read max-headers max-target-size max-body-size timeout-body-read timeout-write limit-connections
    static forwarded-header log-format access-log-format access-log-file cache-dir cache job state-dir queue-concurrent
    queue-retries queue-timeout queue-max-memory isolated-concurrent isolated-nice isolated-template operator-socket status-bind status-control
    timeout-worker-stall stall-action timeout-request process-name memory-budget queue-start""".split()

SWITCHES_WITHOUT_EFFECT = "preload ksm request-id pathsend queue growth http2 keep-awake start-asleep".split()

BOOLEANS_WITHOUT_EFFECT = "gc-freeze trace-memory".split()

OTHERS = (
    Flag("bind", "value", place, repeatable=True),
    Flag("max-head-size", "value", same("h11-max-incomplete-event-size")),
    Flag("timeout-keep-alive", "value", whole("timeout-keep-alive")),
    Flag("timeout-graceful-shutdown", "value", whole("timeout-graceful-shutdown")),
    # Uvicorn speaks HTTP/1.1 only, unless it is given another parser.
    Flag("http", "value", chosen("http", _1=["--http", "auto"], _2=[])),
    Flag("loop", "value", chosen("loop", _rloop=[])),
    Flag(
        "ssl-cert-reqs",
        "value",
        chosen(
            "ssl-cert-reqs",
            **{
                f"_{w}": ["--ssl-cert-reqs", n]
                for w, n in zip(("none", "optional", "required"), "012", strict=True)
            },
        ),
    ),
    Flag(
        "proxy-protocol",
        "switch",
        refused("proxy-protocol", "Uvicorn would take a proxy's first line for a request"),
    ),
    Flag("jobs-only", "switch", refused("jobs-only", "jobs are run on Linux only")),
)

FLAGS = {
    flag.name: flag
    for flag in (
        *(Flag(name, "value", same(name)) for name in SAME),
        *(Flag(name, "value", same(name), repeatable=True) for name in SAME_REPEATABLE),
        *(Flag(name, "switch", switch(name)) for name in SAME_SWITCHES),
        *(Flag(name, "boolean", negatable(name)) for name in SAME_BOOLEANS),
        *(Flag(name, "value", None, repeatable=True) for name in WITHOUT_EFFECT),
        *(Flag(name, "switch", None) for name in SWITCHES_WITHOUT_EFFECT),
        *(Flag(name, "boolean", None) for name in BOOLEANS_WITHOUT_EFFECT),
        *OTHERS,
    )
}
"""All of them, by name."""

COMMANDS = frozenset(
    "config weigh imports jobs growth status health top ctl cache apps completions man migrate exec".split(),
)
"""First words that are no application."""
