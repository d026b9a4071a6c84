"""Recycle lowmem-serve and its peers under load, and count what their clients notice.

    python benches/recycle.py                                   everything, about 45 minutes
    python benches/recycle.py --quick                           the same, some seconds each
    python benches/recycle.py --scenario sighup,ttl --servers lowmem --seconds 20
    python benches/recycle.py --table benches/results/recycling.json   the table of README.md

Needs Python 3.11 or newer; the peers come into benches/.venv, as for compare.py.
Exit codes: 0 lowmem-serve reached every goal, 1 it missed one, 2 not started.
benches/README.md says what each figure means, recycling/goals.py what the goals are.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import sys
from pathlib import Path

from comparison import command, environment, machine
from comparison.serving import NotServing
from recycling import goals, report, scenarios, servers, summary, trial

GIL_SECONDS = 0.001
"""How long the thread that weighs may keep the clients waiting."""


def main() -> int:
    """Read the command line, make the trials, write the results, and judge."""
    arguments = _parse()
    if arguments.table:
        print(summary.table(arguments.table))
        return 0
    return command.prepared("recycle.py", lambda: _run(arguments))


def _parse() -> argparse.Namespace:
    parser = command.parser(__doc__)
    default = ",".join(scenario.name for scenario in scenarios.BY_DEFAULT)
    known = ", ".join(scenario.name for scenario in scenarios.SCENARIOS)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load for each trial (default: 60)")
    parser.add_argument("--servers", default="lowmem,granian,gunicorn,uvicorn", help="default: all four")
    parser.add_argument("--scenario", default=default, help=f"comma-separated, of: {known}")
    parser.add_argument(
        "--quick", action="store_true", help="some seconds each; for checking, not for quoting"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=environment.BENCHES / "results",
        help="folder for recycling.md and .json (default: benches/results)",
    )
    parser.add_argument(
        "--table",
        type=Path,
        nargs="+",
        metavar="JSON",
        help="run nothing; print one table of what earlier runs wrote",
    )
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    binary = arguments.binary
    chosen = servers.named(arguments.servers.split(","), servers.all_servers(binary, arguments.python))
    ours = any(server.name == scenarios.OURS for server in chosen)
    if ours:
        command.built(binary)
    environment.borrow_packages()
    sys.setswitchinterval(GIL_SECONDS)
    gc.freeze()
    versions = environment.versions()
    if ours:
        said = environment.version_of(binary, arguments.python)
        versions[scenarios.OURS] = said.removeprefix("Running lowmem-serve ").removesuffix(" on Linux")
    begun = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    outcomes: list[report.Outcome] = []
    for scenario in scenarios.named(arguments.scenario.split(",")):
        for server in chosen:
            outcome = _outcome(server, scenario, arguments, binary)
            print(report.line(outcome), flush=True)
            outcomes.append(outcome)
    _write(
        report.Report(begun, machine.describe(), versions, outcomes),
        arguments.results,
        "recycling-quick" if arguments.quick else "recycling",
    )
    return 0 if all(map(_is_good, outcomes)) else 1


def _outcome(
    server: servers.Server, scenario: scenarios.Scenario, arguments: argparse.Namespace, binary: Path
) -> report.Outcome:
    """Make one trial, or say why it cannot be made."""
    if not scenario.takes(server.name):
        return report.Skipped(server.name, scenario, "it has no such trigger")
    if server.name == scenarios.OURS:
        if missing := servers.missing_flags(binary, scenario.flags.get(server.name, ())):
            return report.Skipped(server.name, scenario, f"this build has no {', '.join(missing)}")
    least = scenario.least_seconds.get(server.name, 0.0)
    if arguments.quick and least:
        return report.Skipped(server.name, scenario, f"it needs {least:.0f} s, too long for a quick run")
    seconds = scenario.quick_seconds if arguments.quick else max(arguments.seconds, least)
    try:
        return trial.run(server, scenario, seconds)
    except NotServing as error:
        return report.Skipped(server.name, scenario, str(error))


def _is_good(outcome: report.Outcome) -> bool:
    if outcome.server != scenarios.OURS:
        return True
    if isinstance(outcome, report.Skipped):
        return not outcome.scenario.takes(scenarios.OURS)
    return not goals.missed(outcome)


def _write(result: report.Report, folder: Path, name: str) -> None:
    text = report.markdown(result)
    folder.mkdir(parents=True, exist_ok=True)
    written = {folder / f"{name}.md": text, folder / f"{name}.json": report.as_json(result)}
    for path, content in written.items():
        path.write_text(content, encoding="utf-8")
    print(f"\n{text}")
    print("written:", *(path.name for path in written))


if __name__ == "__main__":
    sys.exit(main())
