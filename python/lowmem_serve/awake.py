"""`stay_awake`: what keeps an application from sleeping though no request is open."""

import _thread

holders = 0
"""How many blocks are entered now. The worker reads it before it sleeps."""

_lock = _thread.allocate_lock()


class stay_awake:
    """Keeps the application awake while a block runs.

        with stay_awake():        # or: async with
            await report()

    Blocks may be entered on any thread, nested and at once. In a process that is not a worker of
    lowmem-serve nothing comes of it.
    """

    def __enter__(self) -> None:
        _add(1)

    def __exit__(self, *_: object) -> None:
        _add(-1)

    async def __aenter__(self) -> None:
        _add(1)

    async def __aexit__(self, *_: object) -> None:
        _add(-1)


def _add(count: int) -> None:
    global holders
    with _lock:
        holders += count
