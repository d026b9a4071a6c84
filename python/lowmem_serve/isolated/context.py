"""The context variables of a caller, as far as they can travel."""

import contextvars
import pickle
import sys
import types

TRACING = "lowmem_serve.tracing"
"""The variables of this module travel in any case; others only where the function's module knows them."""

_places: dict[contextvars.ContextVar, tuple[str, str] | None] = {}


def carried() -> dict[tuple[str, str], bytes]:
    """The variables that have a name in a module and a value that can be pickled: the others stay."""
    found = {}
    for variable, value in contextvars.copy_context().items():
        if variable not in _places:
            _places[variable] = _place(variable)
        place = _places[variable]
        if place is None:
            continue
        try:
            found[place] = pickle.dumps(value, 5)
        except Exception:
            # Any class may refuse, in its own way: a request, a connection.
            continue
    return found


def _place(variable: contextvars.ContextVar) -> tuple[str, str] | None:
    for module in [sys.modules.get(TRACING), *sys.modules.values()]:
        if isinstance(module, types.ModuleType):
            for name, value in list(vars(module).items()):
                if value is variable:
                    return module.__name__, name
    return None
