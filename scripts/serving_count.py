"""Say how many lines of crates/bridge/serving.ld still name a function of the build, and fail below nine tenths.

The linker passes over a pattern that matches nothing without a word: after functions have been renamed or moved, or
with another toolchain's way to write names, the file would do less and less. build.rs has the linker write a map of
the shared object, which has the names that the stripped object does not have. scripts/serving_code.py makes the file
anew.

    python scripts/serving_count.py target/release
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "crates" / "bridge" / "serving.ld"
LEAST = 0.9


def main(target: Path) -> int:
    """Compare the newest map below `target`, a profile's directory of Cargo's, with the linker script."""
    maps = sorted(
        target.glob("build/lowmem-serve-bridge-*/out/serving.map"), key=lambda path: path.stat().st_mtime
    )
    if not maps:
        print(f"serving_count: no serving.map below {target}: build first", file=sys.stderr)
        return 2
    names = set(re.findall(r"\((\.text[^)]*)\)", maps[-1].read_text(errors="replace")))
    lines = re.findall(r"(?m)^ *\*\(([^)]*)\)$", SCRIPT.read_text())
    unmatched = [line for line in lines if not any(map(_pattern(line).fullmatch, names))]
    matched = len(lines) - len(unmatched)
    print(f"serving.ld: {matched} of {len(lines)} functions are in the build")
    if matched >= LEAST * len(lines) and lines:
        return 0
    print("\n".join(line.split()[0] for line in unmatched))
    print(
        "serving_count: run scripts/serving_code.py, and put what it prints into serving.ld", file=sys.stderr
    )
    return 1


def _pattern(line: str) -> re.Pattern[str]:
    """A pattern for any of a line's patterns; `*` is the only wildcard in them."""
    return re.compile("|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in line.split()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: serving_count.py TARGET, as target/release")
    sys.exit(main(Path(sys.argv[1])))
