"""Say in a table how an Autobahn|Testsuite run ended; exit with 1 if a case failed."""

import json
import sys
from collections import Counter
from pathlib import Path

SECTIONS = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8 handling",
    "7": "Close handling",
    "9": "Limits and performance",
    "10": "Miscellaneous",
    "12": "Compression: sizes and contents",
    "13": "Compression: parameters",
}
FINE = ("OK", "INFORMATIONAL")


def main(index: Path) -> int:
    (results,) = json.loads(index.read_text()).values()
    sections: dict[str, Counter[str]] = {}
    for case, result in results.items():
        sections.setdefault(case.partition(".")[0], Counter()).update(
            [worse(result["behavior"], result["behaviorClose"])]
        )
    verdicts = sorted({verdict for counts in sections.values() for verdict in counts})
    print("| section | cases | " + " | ".join(verdict.lower() for verdict in verdicts) + " |")
    print("|---|---:|" + "---:|" * len(verdicts))
    for section in sorted(sections, key=int):
        row(f"{section}. {SECTIONS.get(section, '')}", sections[section], verdicts)
    row("all", sum(sections.values(), Counter()), verdicts)
    not_ok = {
        case: result for case, result in results.items() if worse_of(result) not in (*FINE, "NON-STRICT")
    }
    for case, result in not_ok.items():
        print(f"{case}: {result['behavior']}, close: {result['behaviorClose']}", file=sys.stderr)
    return (
        1 if any(worse_of(result) in ("FAILED", "WRONG CODE", "UNCLEAN") for result in not_ok.values()) else 0
    )


def worse_of(result: dict[str, str]) -> str:
    return worse(result["behavior"], result["behaviorClose"])


def worse(behaviour: str, close: str) -> str:
    """The verdict on a case: that on its close, where this is not fine."""
    return close if behaviour in FINE and close not in FINE else behaviour


def row(name: str, counts: Counter[str], verdicts: list[str]) -> None:
    print(f"| {name} | {counts.total()} | " + " | ".join(str(counts[verdict]) for verdict in verdicts) + " |")


sys.exit(main(Path(sys.argv[1])))
