"""Fail when lowmem-serve has become heavier or slower than its recorded figures allow.

    python benches/gate.py             compare with benches/recorded.json
    python benches/gate.py --record    put what is measured there

Weighs the idle process tree, and counts the machine instructions of a request with callgrind. Both
depend on the Python that is embedded, so each has figures of its own; one that has none is measured
and shown, and fails nothing. Instructions can be counted where valgrind is installed and a Python is
linked statically, as Debian's is: valgrind can't follow the way in which workers start on others.

Exit codes: 0 within 5 % of what is recorded, 1 beyond, 2 not measured, with the reason.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from comparison import apart, command, machine, serving
from gating import idle, instructions, python, record


def main() -> int:
    """Measure, then compare or record."""
    arguments = _parse()
    apart.step_apart()
    try:
        measured = _measure(command.built(arguments.binary), arguments)
    except (serving.NotServing, ValueError) as error:
        print(f"gate.py: {error}", file=sys.stderr)
        return 2
    told, good = record.lines(measured, record.read(), shared=bool(machine.sharers()))
    print(*told, sep="\n")
    if arguments.record:
        record.write(measured)
        return 0
    if not good:
        print(
            "gate.py: if it is worth that, say why in the commit that records it (--record)", file=sys.stderr
        )
    return 0 if good else 1


def _parse() -> argparse.Namespace:
    parser = command.parser(__doc__, python="a Python with Quart, to be weighed")
    parser.add_argument(
        "--static-python",
        type=Path,
        default=Path("/usr/bin/python3"),
        help="a statically linked Python, to count instructions with (default: /usr/bin/python3)",
    )
    parser.add_argument("--record", action="store_true", help="record what is measured")
    return parser.parse_args()


def _measure(binary: Path, arguments: argparse.Namespace) -> dict[str, record.Figures]:
    # Absolute, but not resolved: a virtual environment is known by its link.
    weighed = python.describe(arguments.python.absolute())
    if weighed is None:
        raise ValueError(f"{arguments.python} does not run: name a Python with Quart by --python")
    measured = {weighed.name: idle.figures(binary, weighed)}
    counted = python.describe(arguments.static_python.absolute())
    if counted is None or counted.shared:
        print(f"instructions are not counted: {arguments.static_python} is no statically linked Python")
    elif not shutil.which("valgrind"):
        print("instructions are not counted: valgrind is not installed")
    else:
        measured.setdefault(counted.name, {}).update(instructions.figures(binary, counted))
    return measured


if __name__ == "__main__":
    sys.exit(main())
