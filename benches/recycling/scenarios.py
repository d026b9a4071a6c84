"""The triggers of recycling, their frequency, and the applications."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from comparison.environment import CERTIFICATE, KEY
from recycling.load import FULL, Mix
from recycling.wire import Transport

OURS = "lowmem-serve"

MAX_RSS_MIB = 100
"""A worker of the leaking application starts well below it."""

LEAK_KIB_PER_SECOND = 10 * 1024
"""Fills MAX_RSS_MIB in about ten seconds."""


class Drive(Enum):
    """The trigger of a replacement."""

    ITSELF = auto()
    """The server, by its flags."""
    HANGUP = auto()
    """SIGHUP to the server."""
    FAULTS = auto()
    """SIGHUP, and successors that fail in one way after the other; at last one that does not."""
    KILL = auto()
    """SIGKILL to the worker."""


class Style(Enum):
    """The expectations of a swap."""

    OVERLAP = auto()
    """No client waits."""
    SEQUENTIAL = auto()
    """Requests wait while the successor starts."""
    SEQUENTIAL_OPEN = auto()
    """The same, and while what is open without an end is ended."""
    CRASH = auto()
    """Connections of the worker are lost, and the others wait."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to recycle."""

    name: str
    about: str
    drive: Drive
    period: float
    """About how long (s) from one swap to the next, at the soonest."""
    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The flags of each server. For Drive.ITSELF the others do not take part."""
    style: Style = Style.OVERLAP
    workers: int = 1
    import_seconds: float = 0.3
    quick_seconds: float = 8.0
    mix: Mix = FULL
    transport: Transport = Transport.PLAIN
    """Only servers that have flags for it take part, if it is not plain."""
    least_seconds: dict[str, float] = field(default_factory=dict)
    """Where a server recycles no sooner than this, the load lasts longer (s), unless it is a quick run."""

    def takes(self, family: str) -> bool:
        """Whether the server can be made to recycle in this way."""
        for_all = self.drive is not Drive.ITSELF and self.transport is Transport.PLAIN
        return for_all or family in self.flags

    def trigger(self, family: str) -> str:
        """Name the trigger for a table."""
        return {
            Drive.ITSELF: " ".join(self.flags.get(family, ())),
            Drive.HANGUP: f"SIGHUP every {self.period:g} s",
            Drive.FAULTS: f"SIGHUP every {self.period:g} s",
            Drive.KILL: f"SIGKILL every {self.period:g} s",
        }[self.drive]


SHORT = replace(FULL, streams=0, uploads=0, websockets=0, events=0)
"""A sequential swap waits for what is in flight, so what takes seconds would hide its own pause."""

TTL = Scenario(
    name="ttl",
    about="one worker, replaced each three seconds",
    drive=Drive.ITSELF,
    period=3.0,
    # A minute is the least that Granian takes.
    flags={OURS: ("--ttl", "3s"), "granian": ("--workers-lifetime", "60")},
    least_seconds={"granian": 130.0},
)

SIGHUP = Scenario(
    name="sighup",
    about="one worker (Uvicorn: two, it cannot reload one), SIGHUP each two seconds",
    drive=Drive.HANGUP,
    period=2.0,
)

ENCRYPTED = {
    OURS: ("--ssl-certfile", str(CERTIFICATE), "--ssl-keyfile", str(KEY)),
    "granian": ("--ssl-certificate", str(CERTIFICATE), "--ssl-keyfile", str(KEY)),
    "gunicorn": ("--certfile", str(CERTIFICATE), "--keyfile", str(KEY)),
    "uvicorn": ("--ssl-certfile", str(CERTIFICATE), "--ssl-keyfile", str(KEY)),
}

SCENARIOS = (
    TTL,
    SIGHUP,
    Scenario(
        name="max-requests",
        about="a worker is replaced after 500 requests",
        drive=Drive.ITSELF,
        # The load brings 500 in a quarter of a second; then it is the start that takes the time.
        period=2.0,
        flags={
            OURS: ("--max-requests", "500"),
            "gunicorn": ("--max-requests", "500"),
            "uvicorn": ("--limit-max-requests", "500"),
        },
    ),
    Scenario(
        name="max-rss",
        about=f"an application that loses {LEAK_KIB_PER_SECOND // 1024} MiB a second",
        drive=Drive.ITSELF,
        period=15.0,
        flags={
            OURS: ("--max-rss", f"{MAX_RSS_MIB}M"),
            # It looks each 30 s unless told otherwise, and the memory would be gone.
            "granian": ("--workers-max-rss", f"{MAX_RSS_MIB}", "--rss-sample-interval", "1"),
        },
        quick_seconds=30.0,
        mix=replace(FULL, leak_kib_per_second=LEAK_KIB_PER_SECOND),
    ),
    replace(
        SIGHUP,
        name="slow-import",
        about="an application that takes five seconds to import, SIGHUP each two seconds",
        import_seconds=5.0,
        quick_seconds=16.0,
    ),
    replace(TTL, name="workers", about="two workers, replaced each three seconds", workers=2),
    Scenario(
        name="sequential",
        about="never two workers at once; short exchanges only",
        drive=Drive.ITSELF,
        period=3.0,
        flags={OURS: ("--ttl", "3s", "--recycle", "sequential")},
        style=Style.SEQUENTIAL,
        mix=SHORT,
    ),
    Scenario(
        name="sequential-open",
        about="the same with uploads, streams, WebSockets and an event stream without an end",
        drive=Drive.ITSELF,
        period=4.0,
        flags={OURS: ("--ttl", "3s", "--recycle", "sequential")},
        style=Style.SEQUENTIAL_OPEN,
        mix=replace(FULL, stream_seconds=1.0, upload_seconds=1.0),
        quick_seconds=16.0,
    ),
    Scenario(
        name="failing-successor",
        about="successors whose import raises, whose startup fails, whose startup hangs; then a good one",
        drive=Drive.FAULTS,
        period=2.0,
        flags={
            OURS: ("--timeout-worker-startup", "2"),
            "granian": ("--respawn-failed-workers",),
        },
        quick_seconds=16.0,
    ),
    Scenario(
        name="kill",
        about="SIGKILL of the only worker (Uvicorn: one of two)",
        drive=Drive.KILL,
        # Deaths that follow each other within ten seconds of service are a crash loop to lowmem-serve.
        period=12.0,
        flags={"granian": ("--respawn-failed-workers",)},
        style=Style.CRASH,
        quick_seconds=16.0,
    ),
    replace(
        SIGHUP,
        name="tls",
        about="TLS and HTTP/1.1; idle connections cannot move, and are closed in order",
        transport=Transport.TLS,
        flags=ENCRYPTED,
    ),
    replace(
        SIGHUP,
        name="http2",
        about="HTTP/2 by ALPN; connections cannot move, and hear GOAWAY",
        transport=Transport.HTTP2,
        flags={name: flags for name, flags in ENCRYPTED.items() if name in (OURS, "granian")},
    ),
    replace(
        SIGHUP,
        name="h2c",
        about="HTTP/2 with prior knowledge; connections cannot move, and hear GOAWAY",
        transport=Transport.H2C,
        flags={OURS: (), "granian": ()},
    ),
    replace(
        SIGHUP,
        name="http2-once",
        about="HTTP/2 by clients that send nothing again, though they may",
        transport=Transport.HTTP2,
        mix=replace(FULL, sends_again=False),
        flags={name: flags for name, flags in ENCRYPTED.items() if name in (OURS, "granian")},
    ),
    Scenario(
        name="endurance",
        about="as many swaps as there is time for: what does the supervisor keep of them?",
        drive=Drive.HANGUP,
        period=0.6,
        mix=SHORT,
    ),
)

BY_DEFAULT = tuple(scenario for scenario in SCENARIOS if scenario.name != "endurance")


def named(names: list[str]) -> list[Scenario]:
    """Return the scenarios of these names."""
    known = {scenario.name: scenario for scenario in SCENARIOS}
    if strangers := [name for name in names if name not in known]:
        raise ValueError(f"no such scenario: {', '.join(strangers)} (known: {', '.join(known)})")
    return [known[name] for name in names]
