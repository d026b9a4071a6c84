"""Which lowmem-serve is measured, with which Python: what the benches' command lines have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from comparison import environment

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


def built(binary: Path) -> Path:
    """Return the executable if it is there; ValueError says what to do otherwise."""
    if not binary.is_file():
        raise ValueError(f"{binary} is not there: cargo build --release, or name it by --binary")
    return binary


def _executable(text: str) -> Path:
    # Servers run in folders of their own.
    return Path(text).resolve()
