"""lowmem-serve: an ASGI server that embeds CPython in little memory.

The server is the executable `lowmem-serve`; `python -m lowmem_serve` starts it too. This package
is imported by every worker, so it imports nothing itself.
"""

__version__ = "0.1.0"

_EXPORTS = {
    "ServerFailed": "serving",
    "run": "starting",
    "serve": "serving",
    "stay_awake": "awake",
}
"""Names of the package, and the modules that have them: a name costs nothing before its first use."""


def __getattr__(name):
    if module := _EXPORTS.get(name):
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
