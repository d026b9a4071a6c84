"""The shared object `_core`, for modules of this package that need it in a process that is no worker of ours.

In a worker it is loaded already; a wheel has it in the package; in a source tree Cargo has built it.
"""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

NAME = "lowmem_serve._core"


def places():
    """Where the shared object may be, best first."""
    if named := os.environ.get("LOWMEM_SERVE_CORE"):
        yield Path(named)
    tree = Path(__file__).resolve().parents[2]
    target = Path(os.environ.get("CARGO_TARGET_DIR", tree / "target"))
    yield target / "release" / "lib_core.so"


def load():
    """Returns `_core`.

    Raises ImportError, naming the places, where it is not found.
    """
    if NAME in sys.modules:
        return sys.modules[NAME]
    try:
        return importlib.import_module(NAME)
    except ModuleNotFoundError as error:
        if sys.platform != "linux":
            raise ImportError(
                "this part of lowmem-serve needs the server, which runs on Linux only"
            ) from error
        looked_at = list(places())
    for place in looked_at:
        if place.is_file():
            loader = importlib.machinery.ExtensionFileLoader(NAME, str(place))
            spec = importlib.util.spec_from_file_location(NAME, place, loader=loader)
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            sys.modules[NAME] = module
            return module
    raise ImportError(
        f"the shared object of lowmem-serve was not found: install the wheel, or build it with cargo "
        f"(looked for {', '.join(map(str, looked_at))})"
    )
