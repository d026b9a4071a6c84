"""lowmem-serve: an ASGI server that embeds CPython in little memory.

The server is the executable `lowmem-serve`; `python -m lowmem_serve` starts it too. This package
is imported by every worker, so it imports nothing itself.
"""

__version__ = "0.1.0"
