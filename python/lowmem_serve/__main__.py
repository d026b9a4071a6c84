"""`python -m lowmem_serve app:app`: the executable of the same environment, for this Python."""

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

EXECUTABLE = "lowmem-serve"


def places() -> Iterator[Path]:
    """Where an installer may have put the executable of this environment, best first."""
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sys.executable).parent
    yield Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    # pip's --target puts bin beside the package, its --prefix puts it above lib/python3.X/site-packages.
    packages = Path(__file__).resolve().parents[1]
    yield packages / "bin"
    if packages.name in ("site-packages", "dist-packages"):
        yield packages.parents[2] / "bin"


def find_executable() -> Path | None:
    """The executable, or None. PATH is not asked: what it names may be of another environment."""
    for place in places():
        candidate = place / EXECUTABLE
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    return None


def executable_here() -> Path:
    """The executable.

    LOWMEM_SERVE_EXECUTABLE names another, for working on lowmem-serve itself. Raises SystemExit, naming the
    places, where there is none.
    """
    named = os.environ.get("LOWMEM_SERVE_EXECUTABLE")
    executable = Path(named) if named else find_executable()
    if executable is None:
        looked_at = "\n".join(f"  {place}" for place in dict.fromkeys(places()))
        sys.exit(
            f"{EXECUTABLE}: the executable is not in the environment of {sys.executable}. "
            f"Looked in:\n{looked_at}\nInstall it there: {sys.executable} -m pip install {EXECUTABLE}"
        )
    return executable


def become(arguments: list[str], variables: dict[str, str]) -> NoReturn:
    """Replaces this process by the server, for this Python."""
    if sys.platform != "linux":
        from lowmem_serve import fallback

        os.environ.update(variables)
        fallback.main(arguments)
    executable = executable_here()
    # A flag of the command line still wins over the variable.
    environment = {**os.environ, "LOWMEM_PYTHON": sys.executable, **variables}
    # Buffered output would be lost with this process image.
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(executable, [str(executable), *arguments], environment)


def main() -> None:
    become(sys.argv[1:], {})


if __name__ == "__main__":
    main()
