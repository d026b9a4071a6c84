"""The common parts of the benches' commands: which lowmem-serve with which Python, and how they end."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from comparison import apart, environment

BUILT = environment.BENCHES.parent / "target" / "release" / "lowmem-serve"


def parser(
    about: str | None, python: str | None = "the Python that lowmem-serve embeds"
) -> argparse.ArgumentParser:
    """Return a parser that knows --binary and --python; without words for it, not the latter."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--binary",
        type=_executable,
        default=str(BUILT),
        help="the lowmem-serve executable (default: target/release/lowmem-serve)",
    )
    if python:
        made.add_argument(
            "--python",
            type=Path,
            default=environment.VENV_PYTHON,
            help=f"{python} (default: that of benches/.venv)",
        )
    return made


def prepared(name: str, run: Callable[[], int], upgrade: bool = False) -> int:
    """Run with the benches' own environment; the exit code, 2 where it cannot, 130 after Ctrl-C."""
    # So that an ended run ends its servers too: finally blocks run on SystemExit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        apart.step_apart()
        environment.prepare(upgrade)
        return run()
    except (environment.CannotPrepare, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing written", file=sys.stderr)
        return 130


def built(binary: Path) -> Path:
    """Return the executable if it is there; ValueError says what to do otherwise."""
    if not binary.is_file():
        raise ValueError(f"{binary} is not there: cargo build --release, or name it by --binary")
    return binary


def _executable(text: str) -> Path:
    # Servers run in folders of their own.
    return Path(text).resolve()
