"""Runs each suite with imports at once and with lazy ones: prove.py DIRECTORY [PACKAGE…].

A package is proven if no test ends otherwise with lazy imports than without, and at least one of its
modules was lazy. Exit code 1 if one is not.
"""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from suites import LIBRARY, SUITES, Suite

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "python"
SUITE_SECONDS = 900

# A test that timing decides fails now and then: what ended otherwise is run again on its own.
ATTEMPTS = 3


def environment(words: str | None, counts: Path) -> dict[str, str]:
    """Return the variables of a run; without words imports are done at once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LAZY_"))}
    if words is None:
        return kept
    counts.unlink(missing_ok=True)
    path = os.pathsep.join((str(HERE), str(PACKAGE)))
    return {**kept, "PYTHONPATH": path, "LAZY_PROOF_WORDS": words, "LAZY_PROOF_COUNTS": str(counts)}


def unpacked(suite: Suite, directory: Path) -> Path:
    """Return the directory of the suite's source distribution, from the package index."""
    root = directory / f"{suite.package}-{suite.version}"
    if not root.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        wanted = f"{suite.package}=={suite.version}"
        subprocess.run([*pip, "--no-build-isolation", "--dest", str(directory), wanted], check=True)
        with tarfile.open(root.with_name(root.name + ".tar.gz")) as archive:
            archive.extractall(directory, filter="data")
    return root


def pytest(root: Path, tests: list[str], variables: dict[str, str]) -> tuple[str, set[str]]:
    """Run tests; return the last line, and those that did not pass."""
    options = ["-q", "-p", "no:cacheprovider", "-rfE", "--timeout", "60"]
    options += [
        "-W",
        "ignore::pytest.PytestDeprecationWarning",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
    ]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    finished = subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, timeout=SUITE_SECONDS, check=False
    )
    lines = finished.stdout.strip().splitlines()
    if finished.returncode not in (0, 1):
        raise SystemExit(
            f"{root.name}: pytest did not run:\n{finished.stdout[-2000:]}{finished.stderr[-2000:]}"
        )
    bad = {found[1] for line in lines if (found := re.match(r"(?:FAILED|ERROR) (\S+)", line))}
    return re.sub(r"in [\d.]+s.*|=", "", lines[-1]).strip(), bad


def proven(suite: Suite, directory: Path) -> bool:
    """Run a suite both ways and print its line of the table."""
    root, counts = unpacked(suite, directory), directory / "counts"
    _, bad_at_once = pytest(root, [suite.tests], environment(None, counts))
    said, bad_lazy = pytest(root, [suite.tests], environment("auto", counts))
    lazy_modules = max(map(int, counts.read_text().split()), default=0)
    otherwise = bad_lazy - bad_at_once
    for _ in range(ATTEMPTS):
        if otherwise:
            _, again = pytest(root, sorted(otherwise), environment("auto", counts))
            otherwise &= again
    good = not otherwise and lazy_modules > 0
    verdict = (
        "the same" if good else "**otherwise: " + (", ".join(sorted(otherwise)) or "no lazy module") + "**"
    )
    print(f"| {suite.package} {suite.version} | {lazy_modules} | {said} | {verdict} |", flush=True)
    return good


def library_proven(directory: Path) -> bool:
    """Run CPython's own tests both ways."""
    try:
        __import__("test.support")
    except ImportError:
        print("| CPython's own tests | | not installed with this Python | |")
        return True
    counts = directory / "counts"
    command = [sys.executable, "-m", "test", "-q", "--timeout", "300", *LIBRARY]
    bad = []
    for words in (None, "auto"):
        variables = environment(words, counts)
        finished = subprocess.run(
            command,
            cwd=directory,
            env=variables,
            capture_output=True,
            text=True,
            timeout=SUITE_SECONDS,
            check=False,
        )
        bad.append(
            set(re.findall(r"^test (test_\w+) (?:failed|crashed)", finished.stdout + finished.stderr, re.M))
        )
    otherwise = bad[1] - bad[0]
    version = ".".join(map(str, sys.version_info[:3]))
    verdict = "the same" if not otherwise else f"**otherwise: {', '.join(sorted(otherwise))}**"
    lazy_modules = max(map(int, counts.read_text().split()), default=0)
    print(f"| CPython {version}, {len(LIBRARY)} test modules | {lazy_modules} | | {verdict} |", flush=True)
    return not otherwise


def main(arguments: list[str]) -> int:
    """Run what was asked for, else all."""
    directory, *only = arguments
    print("| package | lazy modules | its tests with lazy imports | compared with imports at once |")
    print("|---|---|---|---|", flush=True)
    chosen = [suite for suite in SUITES if not only or suite.package in only]
    results = [proven(suite, Path(directory)) for suite in chosen]
    if not only or "library" in only:
        results.append(library_proven(Path(directory)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
