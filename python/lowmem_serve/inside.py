"""Servers that an application starts while a worker imports it: refused, because the import would never end.

Imported only where one of these servers is, and only until the application is imported.
"""

import functools
import sys
import threading
from typing import Any

importing = True
"""The worker sets it to False when the application is imported: what is called later is the application's affair."""

STARTS = {
    "uvicorn.main": ((None, "run", "uvicorn.run()"),),
    "uvicorn.server": (
        ("Server", "run", "uvicorn.Server.run()"),
        ("Server", "serve", "uvicorn.Server.serve()"),
    ),
    "hypercorn.run": ((None, "run", "hypercorn.run.run()"),),
    "hypercorn.asyncio": ((None, "serve", "hypercorn.asyncio.serve(), or Quart's app.run()"),),
    "granian.server.common": (("AbstractServer", "serve", "Granian.serve()"),),
    "werkzeug.serving": ((None, "run_simple", "app.run()"),),
    "waitress": ((None, "serve", "waitress.serve()"),),
}
"""By the module that defines it: the class, the function, and what people call it."""

_patched: set[str] = set()


def patch() -> None:
    """Has the functions of those modules that are loaded by now refuse."""
    for name, starts in STARTS.items():
        module = sys.modules.get(name)
        for class_name, function, called in starts:
            owner = module if class_name is None else getattr(module, class_name, None)
            # A module that is half imported may not have it yet.
            original = getattr(owner, function, None)
            if original is not None and called not in _patched:
                _patched.add(called)
                setattr(owner, function, _refusing(original, called))


def _refusing(original: Any, called: str) -> Any:
    @functools.wraps(original)
    def start(*arguments: Any, **named: Any) -> Any:
        # A thread may serve something beside the application.
        if importing and threading.current_thread() is threading.main_thread():
            raise RuntimeError(
                f"{called} is called while lowmem-serve imports the application, which would never end: "
                'put the call below `if __name__ == "__main__":`, or leave it out'
            )
        return original(*arguments, **named)

    return start
