"""A cache on disk, shared by all processes of an application. docs/cache.md tells how to use it.

    from lowmem_serve import cache

    pages = cache.open("pages", size="256M", ttl="1h")
    pages.set("front", html)
    pages.get("front")

It survives recycling, sleep and restarts, works under any server, and takes no memory of a process: values are read
from files when they are asked for, and the kernel keeps what is read often.
"""

import asyncio
import functools
import inspect
import json
import logging
import os
import re
import time
import weakref
from pathlib import Path

from lowmem_serve import native

_Store, _, CacheError = native.load().cache()
_log = logging.getLogger("lowmem_serve.cache")

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MISSING = object()

# A process that waits for a value which another one computes looks again after these times, in seconds.
_FIRST_LOOK, _LONGEST_LOOK = 0.001, 0.05

# A persistent problem is logged at most this often for each cache, in seconds.
_BETWEEN_COMPLAINTS = 60
_complained = {}

_opened = weakref.WeakSet()


def _forked():
    for each in _opened:
        each._forked()


os.register_at_fork(after_in_child=_forked)


def complain(directory, what):
    """Logs what went wrong with a cache (what: why), unless the same was logged within the last minute."""
    now = time.monotonic()
    kind = directory, what.partition(":")[0]
    if now - _complained.get(kind, -_BETWEEN_COMPLAINTS) >= _BETWEEN_COMPLAINTS:
        _complained[kind] = now
        _log.warning("The cache in %s %s", directory, what)


def seconds(duration):
    """A number of seconds from a number, or from a text such as "90s", "15m", "1h" or "1d12h"; None stays None.

    Raises ValueError for anything else.
    """
    if duration is None or isinstance(duration, int | float):
        return duration
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(
            f'a time is a number of seconds, or like "90s", "15m", "1h", "1d12h", not {duration!r}'
        )
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def size_in_bytes(size):
    """A number of bytes from a number, or from a text such as "300M" or "1G".

    Raises ValueError for anything else.
    """
    if isinstance(size, int):
        return size
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)(?:i?b)?", size.lower())
    if parts is None:
        raise ValueError(f'a size is a number of bytes, or like "64M" or "1G", not {size!r}')
    return int(float(parts[1]) * _UNITS[parts[2]])


def default_directory():
    """The directory of all caches: LOWMEM_CACHE_DIR (`--cache-dir`), CACHE_DIRECTORY (systemd), or the user's."""
    for name in ("LOWMEM_CACHE_DIR", "CACHE_DIRECTORY"):
        if value := os.environ.get(name):
            return Path(value.split(":")[0]).absolute()
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home).absolute() / "lowmem-serve"


def open(name, size="64M", ttl=None, *, directory=None, pickle=False):
    """Opens the cache `name`, and makes it if there is none.

    `size` is what all of its files may take of the disk, in bytes or as a text such as "256M", 1 MiB at least; the
    least recently used values go first. `ttl` is how long a value lives unless `set` says otherwise: seconds, a text
    such as "1h", or None for as long as there is room. `directory` holds a directory for each cache. With `pickle`
    values of any type are kept; only do that where nothing but this application can write to the directory.

    Settings under `[cache.NAME]` of the server go before `size` and `ttl`.

    Raises CacheError where the directory is another application's, another user's or on a network file system, and
    ValueError for a name, size or time that is none. A directory that cannot be written is no error: every read is a
    miss then, and the log says so.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a cache's name has letters, digits, dots, dashes and underscores, 64 at most: {name!r}"
        )
    configured = json.loads(os.environ.get("LOWMEM_SERVE_CACHE_TERMS") or "{}").get(name, {})
    return Cache(
        Path(directory or default_directory()).absolute() / name,
        size_in_bytes(configured.get("size") or size),
        seconds(configured.get("ttl") or ttl),
        pickle=pickle,
    )


class Cache(_Store):
    """One cache. Keys are str, bytes, numbers, None or tuples of them; 1, 1.0 and "1" are three keys.

    A value is bytes, str, a number, None, or a list or dict of them; any other type raises TypeError unless the cache
    was opened with `pickle=True`. A value is kept if it is at most an eighth of the size.

    Nothing here raises for the disk's sake: what cannot be read is a miss, what cannot be written returns False.
    """

    def __new__(cls, directory, size, ttl=None, *, pickle=False):
        owner = os.environ.get("LOWMEM_SERVE_CACHE_OWNER", "")
        self = super().__new__(cls, directory, size, None if ttl is None else float(ttl), owner, pickle)
        self.directory = Path(directory)
        self._open()
        _opened.add(self)
        return self

    def __init__(self, *arguments, **named):
        """Everything is done by `__new__`."""

    def get_many(self, keys):
        """A dict of those keys that have a value."""
        found = ((key, self.get(key, _MISSING)) for key in keys)
        return {key: value for key, value in found if value is not _MISSING}

    def set_many(self, values, ttl=None, tag=None):
        """Stores every value of a dict; the keys of those that could not be kept."""
        return [key for key, value in values.items() if not self.set(key, value, ttl, tag)]

    def stats(self):
        """A dict: `entries` (the expired ones included), `disk` and `size` in bytes, `hits` and `misses` of this
        process. Reads the whole index."""
        return dict(zip(("entries", "disk", "size", "hits", "misses"), self._stats(), strict=True))

    def keys(self):
        """Iterates over the keys that have a value, in no order."""
        place = 0
        while place is not None:
            found, place = self._keys(place)
            yield from found

    def __contains__(self, key):
        return self.get(key, _MISSING) is not _MISSING

    def memoize(self, ttl=None, *, stale=None, tag=None, key=None, wait=60):
        """A decorator that keeps the results of a function, `def` or `async def`.

        Of all processes one computes a missing value, and the others wait for it; where the last one has expired less
        than `stale` ago they return that instead. A process that ends while it computes is followed by another. After
        `wait` seconds a process computes for itself. Arguments are keys of the cache; `key(*arguments)` returns a key
        where they are not. The function without the cache is `function.__wrapped__`, the key of a call
        `function.cache_key(*arguments)`.
        """
        terms = _Terms(self, seconds(ttl), seconds(stale), tag, seconds(wait))

        def decorate(function):
            name = f"{function.__module__}.{function.__qualname__}"

            def cache_key(*arguments, **named):
                if key is not None:
                    return (name, key(*arguments, **named))
                return (name, *arguments, *(part for pair in sorted(named.items()) for part in pair))

            if inspect.iscoroutinefunction(function):

                @functools.wraps(function)
                async def remembered(*arguments, **named):
                    return await terms.awaited(
                        cache_key(*arguments, **named), functools.partial(function, *arguments, **named)
                    )
            else:

                @functools.wraps(function)
                def remembered(*arguments, **named):
                    return terms.called(
                        cache_key(*arguments, **named), functools.partial(function, *arguments, **named)
                    )

            remembered.cache_key = cache_key
            return remembered

        return decorate


class _Terms:
    """How the results of one function are kept."""

    def __init__(self, cache, ttl, stale, tag, wait):
        self.cache, self.ttl, self.stale, self.tag, self.wait = cache, ttl, stale, tag, wait

    def called(self, key, compute):
        looks = self._looks(key)
        for step, what in looks:
            if step == "value":
                return what
            if step == "wait":
                time.sleep(what)
            else:
                with _Held(what):
                    return self._kept(key, compute())

    async def awaited(self, key, compute):
        looks = self._looks(key)
        for step, what in looks:
            if step == "value":
                return what
            if step == "wait":
                await asyncio.sleep(what)
            else:
                with _Held(what):
                    return self._kept(key, await compute())

    def _kept(self, key, value):
        self.cache.set(key, value, self.ttl, self.tag, self.stale)
        return value

    def _looks(self, key):
        """Yields what to do next: ("value", it), ("wait", seconds), or last ("compute", a lease or False)."""
        pause, until = _FIRST_LOOK, time.monotonic() + self.wait
        while True:
            found = self.cache.peek(key)
            if found is not None and found[1]:
                yield "value", found[0]
            lease = self.cache._lease(key)
            if lease is None and found is not None:
                yield "value", found[0]
            if lease is not None:
                # Another process may have stored it between the look and the lease.
                again = self.cache.peek(key)
                if again is not None and again[1]:
                    _release(lease)
                    yield "value", again[0]
                yield "compute", lease
            if time.monotonic() > until:
                yield "compute", False
            yield "wait", pause
            pause = min(pause * 2, _LONGEST_LOOK)


class _Held:
    """Gives a lease back at the end, however that comes."""

    def __init__(self, lease):
        self.lease = lease

    def __enter__(self):
        return self

    def __exit__(self, *error):
        _release(self.lease)


def _release(lease):
    if lease:
        lease.release()
