"""Compare lowmem-serve with its peers, in one interleaved run on this machine.

    python benches/compare.py                      the whole comparison, about half an hour
    python benches/compare.py --quick              hello only, about a minute
    python benches/compare.py --only hello --servers lowmem,uvicorn
    python benches/compare.py --self-check         does the tool itself work?

Needs Python 3.11 or newer and nothing else; installs the peers into benches/.venv.
benches/README.md says what each figure means.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from comparison import (
    command,
    connections,
    document,
    environment,
    floors,
    machine,
    plot,
    report,
    rounds,
    servers,
    stalls,
    summary,
    workloads,
)
from comparison.sample import Settings

FULL = Settings(load_seconds=5, rest_seconds=5, idle_connections=2000, idle_websockets=1000, free_threads=2)
QUICK = Settings(
    load_seconds=1,
    rest_seconds=1,
    idle_connections=200,
    idle_websockets=0,
    free_threads=2,
    warm_up=False,
)


def main() -> int:
    """Read the command line, measure, and write the results."""
    if sys.hexversion < 0x030B0000:
        print("compare.py: needs Python 3.11 or newer", file=sys.stderr)
        return 2
    arguments = _parse()
    if arguments.redraw:
        return _redraw(arguments)
    run = _self_check if arguments.self_check else lambda: _compare(arguments)
    return command.prepared("compare.py", run, arguments.upgrade)


def _parse() -> argparse.Namespace:
    parser = command.parser(__doc__, python=None)
    known = ", ".join(workload.name for workload in workloads.WORKLOADS)
    parser.add_argument("--servers", help="names or their beginnings, comma-separated")
    parser.add_argument(
        "--workloads",
        "--only",
        help=f"comma-separated (default: {','.join(workloads.DEFAULT)}; all: {known})",
    )
    parser.add_argument("--rounds", type=int, help="default: 3, with --quick 1")
    parser.add_argument("--seconds", type=float, help="of load per placement (default: 5)")
    parser.add_argument("--rest", type=float, help="seconds of rest before the last weighing")
    parser.add_argument("--idle-connections", type=int, help="0: do not weigh them")
    parser.add_argument("--idle-websockets", type=int, help="0: do not weigh them")
    parser.add_argument("--wrk-threads", type=int, help="in the free placement (default: 2)")
    parser.add_argument("--quick", action="store_true", help="a smoke run; figures mean little")
    parser.add_argument("--upgrade", action="store_true", help="install the peers' newest releases")
    parser.add_argument("--self-check", action="store_true", help="uvicorn for a second, then end")
    parser.add_argument(
        "--results",
        type=Path,
        help="folder for comparison.md, .json and .svg (default: benches/results)",
    )
    parser.add_argument(
        "--redraw",
        type=Path,
        metavar="JSON",
        help="measure nothing; make the .md and .svg of an earlier run's .json again, beside it or in --results",
    )
    return parser.parse_args()


def _compare(arguments: argparse.Namespace) -> int:
    environment.borrow_packages()
    comparison, rows = _measure(arguments)
    name = "quick" if arguments.quick else "comparison"
    _write(
        {
            f"{name}.md": report.markdown(comparison),
            f"{name}.json": document.as_json(comparison, rows),
            f"{name}.svg": plot.memory_against_rate(comparison.lines),
        },
        arguments.results or environment.BENCHES / "results",
    )
    return 1 if all(line.disqualified for line in comparison.lines) else 0


def _measure(arguments: argparse.Namespace) -> tuple[document.Comparison, list[rounds.Row]]:
    default = ["hello"] if arguments.quick else list(workloads.DEFAULT)
    chosen = workloads.named(arguments.workloads.split(",") if arguments.workloads else default)
    competing, skipped = _servers(arguments, chosen)
    settings = _settings(arguments)
    round_count = arguments.rounds or (1 if arguments.quick else 3)
    connections.allow_descriptors(max(settings.idle_connections, settings.idle_websockets))

    begun = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    notes = _notes(arguments.quick)
    for note in notes:
        print(f"note: {note}")
    rows = rounds.run(competing, chosen, settings, round_count)
    versions = environment.versions()
    if any(server.family == servers.OURS for server in competing):
        versions["lowmem-serve"] = environment.version_of(arguments.binary)
    comparison = document.Comparison(
        begun=begun,
        machine=machine.describe(),
        versions=versions,
        settings=settings,
        rounds=round_count,
        lines=summary.summarise(rows),
        skipped=skipped,
        notes=notes,
    )
    return comparison, rows


def _servers(
    arguments: argparse.Namespace, chosen: list[workloads.Workload]
) -> tuple[list[servers.Server], dict[str, str]]:
    """Return the servers to measure, and those that cannot be with the reason."""
    everything = [*servers.all_servers(arguments.binary), *floors.all_floors()]
    if arguments.servers is None:
        wanted = [server for server in everything if server.name not in servers.NOT_BY_DEFAULT]
    else:
        wanted = servers.named(arguments.servers.split(","), everything)
    wanted = [server for server in wanted if any(map(server.serves, chosen))]
    skipped = {server.name: why for server in wanted if (why := server.missing())}
    for server in wanted:
        if server.name not in skipped:
            continue
        if server.family == servers.OURS:
            raise ValueError(f"{skipped[server.name]} (or leave it out with --servers)")
        print(f"skipping {server.name}: {skipped[server.name]}")
    return [server for server in wanted if server.name not in skipped], skipped


def _settings(arguments: argparse.Namespace) -> Settings:
    base = QUICK if arguments.quick else FULL

    def chosen(given: float | None, otherwise: float) -> float:
        return otherwise if given is None else given

    return Settings(
        load_seconds=chosen(arguments.seconds, base.load_seconds),
        rest_seconds=chosen(arguments.rest, base.rest_seconds),
        idle_connections=chosen(arguments.idle_connections, base.idle_connections),
        idle_websockets=chosen(arguments.idle_websockets, base.idle_websockets),
        free_threads=chosen(arguments.wrk_threads, base.free_threads),
        warm_up=base.warm_up,
    )


def _notes(quick: bool) -> list[str]:
    notes = []
    if quick:
        notes.append("a quick run: its figures are for checking the tool, not for quoting")
    if sharing := len(machine.sharers()):
        notes.append(f"{sharing} other processes map a Python: PSS may be too low; what is dirty is not")
    if not stalls.can_be_told():
        notes.append("this kernel has no inet_diag: connections that stall are not found")
    return notes


def _redraw(arguments: argparse.Namespace) -> int:
    try:
        comparison = document.read(arguments.redraw)
    except ValueError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    environment.borrow_packages()
    try:
        picture = plot.memory_against_rate(comparison.lines)
    except ImportError as error:
        print(
            f"compare.py: {error}; any other run of compare.py installs it for the benches", file=sys.stderr
        )
        return 2
    name = arguments.redraw.stem
    _write(
        {
            f"{name}.md": report.markdown(comparison),
            f"{name}.svg": picture,
        },
        arguments.results or arguments.redraw.parent,
    )
    return 0


def _write(files: dict[str, str], folder: Path) -> None:
    """Write the files, and show the report that is among them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    print(*("\n" + content for name, content in files.items() if name.endswith(".md")))
    print("written:", *(environment.without_folder(str(folder / name)) for name in files))


def _self_check() -> int:
    """Measure uvicorn with hello, a second for each placement, and judge the figures."""
    [uvicorn] = servers.named(["uvicorn"], servers.all_servers(Path("unused")))
    settings = Settings(1, 0, 200, 100, free_threads=1, warm_up=False)
    connections.allow_descriptors(settings.idle_connections)
    [row] = rounds.run([uvicorn], workloads.named(["hello"]), settings, rounds=1)
    [line] = summary.summarise([row])
    faults = [line.disqualified] if line.disqualified else []
    faults += line.remarks
    faults += [name for name, spread in line.figures.items() if spread.median <= 0]
    if faults:
        print(f"self-check failed: {'; '.join(faults)}", file=sys.stderr)
        return 1
    print(f"self-check passed: {len(line.figures)} figures, all above zero")
    return 0


if __name__ == "__main__":
    sys.exit(main())
