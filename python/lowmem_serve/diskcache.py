"""diskcache's names over the cache on disk: `from lowmem_serve.diskcache import Cache, FanoutCache`.

The methods that applications use behave as diskcache's; docs/cache.md lists what is different and what is missing.
Values of every type are kept by pickle, as there.
"""

import functools
import io
import pickle
import tempfile
from pathlib import Path

from lowmem_serve import cache

ENOVAL = object()
_FOREVER = float("inf")
_PLAIN = (str, bytes, int, float, bool, type(None))
_PICKLED = "\0pickled"


class Timeout(Exception):
    """Kept for `except` clauses; never raised."""


def _is_plain(key):
    return type(key) in _PLAIN or (type(key) is tuple and all(map(_is_plain, key)))


def _ttl(expire):
    return _FOREVER if expire is None else expire


def _stored_key(key):
    return key if _is_plain(key) else (_PICKLED, pickle.dumps(key, 5))


def _given_key(key):
    is_pickled = type(key) is tuple and len(key) == 2 and key[0] == _PICKLED
    return pickle.loads(key[1]) if is_pickled else key


class Cache:
    """One cache in `directory`, or in a new directory for temporary files."""

    def __init__(self, directory=None, timeout=60, disk=None, **settings):
        directory = directory or tempfile.mkdtemp(prefix="diskcache-")
        self._directory = str(Path(directory).expanduser().absolute())
        self._size = settings.get("size_limit", 2**30)
        self._store = cache.Cache(Path(self._directory) / "cache", max(self._size, 2**20), pickle=True)

    @property
    def directory(self):
        """The directory, as text."""
        return self._directory

    @property
    def size_limit(self):
        """The bytes that all files may take of the disk."""
        return self._size

    def set(self, key, value, expire=None, read=False, tag=None, retry=False):
        """Stores a value; whether it was kept. `read` stores what a file object has."""
        value = value.read() if read else value
        return self._store.set(_stored_key(key), value, _ttl(expire), tag)

    def __setitem__(self, key, value):
        self.set(key, value)

    def add(self, key, value, expire=None, read=False, tag=None, retry=False):
        """Stores a value unless there is one; whether it was stored."""
        value = value.read() if read else value
        return self._store.add(_stored_key(key), value, _ttl(expire), tag)

    def get(self, key, default=None, read=False, expire_time=False, tag=False, retry=False):
        """The value, or `default`; a tuple with `expire_time` (seconds since 1970 or None) and `tag`."""
        found = self._store.peek(_stored_key(key))
        value, _, expires, name = found or (default, True, None, None)
        if found is not None and read:
            value = io.BytesIO(value)
        parts = (value, *((expires,) if expire_time else ()), *((name,) if tag else ()))
        return parts[0] if len(parts) == 1 else parts

    def __getitem__(self, key):
        value = self.get(key, ENOVAL)
        if value is ENOVAL:
            raise KeyError(key)
        return value

    def read(self, key, retry=False):
        """A file object with the value; raises KeyError where there is none."""
        return io.BytesIO(self[key])

    def __contains__(self, key):
        return _stored_key(key) in self._store

    def incr(self, key, delta=1, default=0, retry=False):
        """Adds to a number of at most 64 bits; raises KeyError where there is none and `default` is None."""
        number = self._store.incr(_stored_key(key), delta, default)
        if number is None:
            raise KeyError(key)
        return number

    def decr(self, key, delta=1, default=0, retry=False):
        """Subtracts from a number, as `incr` adds to it."""
        return self.incr(key, -delta, default)

    def touch(self, key, expire=None, retry=False):
        """Gives a value another time to live; whether there was one."""
        return self._store.touch(_stored_key(key), _ttl(expire))

    def pop(self, key, default=None, expire_time=False, tag=False, retry=False):
        """Removes a value and returns it as `get` does."""
        found = self.get(key, default, expire_time=expire_time, tag=tag)
        self.delete(key)
        return found

    def delete(self, key, retry=False):
        """Removes a value; whether there was one."""
        return self._store.delete(_stored_key(key))

    def __delitem__(self, key, retry=False):
        if not self.delete(key):
            raise KeyError(key)

    def __len__(self):
        return sum(1 for _ in self)

    def __iter__(self):
        return map(_given_key, self._store.keys())

    def iterkeys(self, reverse=False):
        """Iterates over the keys in their order."""
        return iter(sorted(self, reverse=reverse))

    def clear(self, retry=False):
        """Removes everything; how many values there were. Reads them all for it."""
        count = len(self)
        self._store.clear()
        return count

    def evict(self, tag, retry=False):
        """Removes what has a tag; how many values that were. Reads all values for it."""
        before = len(self)
        self._store.evict(tag)
        return before - len(self)

    def expire(self, now=None, retry=False):
        """Returns 0: expired values are never seen, and go with their segment."""
        return 0

    cull = expire

    def stats(self, enable=True, reset=False):
        """(hits, misses) of this process."""
        counts = self._store.stats()
        return counts["hits"], counts["misses"]

    def volume(self):
        """The bytes that the files take of the disk."""
        return self._store.stats()["disk"]

    def check(self, fix=False, retry=False):
        """Returns no warnings: a broken value is a miss, and a broken index is made anew by itself."""
        return []

    def memoize(self, name=None, typed=False, expire=None, tag=None, ignore=()):
        """A decorator that keeps results, with diskcache's keys (`function.__cache_key__`). Of all processes one
        computes a missing value."""
        if callable(name):
            raise TypeError("name cannot be callable")
        terms = cache._Terms(self._store, _ttl(expire), None, tag, 60)

        def decorate(function):
            base = (name or f"{function.__module__}.{function.__qualname__}",)

            def cache_key(*args, **kwargs):
                return args_to_key(base, args, kwargs, typed, ignore)

            @functools.wraps(function)
            def remembered(*args, **kwargs):
                key = _stored_key(cache_key(*args, **kwargs))
                return terms.called(key, functools.partial(function, *args, **kwargs))

            remembered.__cache_key__ = cache_key
            return remembered

        return decorate

    def close(self):
        """Closes the files; a later call opens them again."""
        self._store.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __getstate__(self):
        return self._directory, self._size

    def __setstate__(self, state):
        self.__init__(state[0], size_limit=state[1])


class FanoutCache(Cache):
    """The same: one cache takes writes of several processes at once, so there are no shards."""

    def __init__(self, directory=None, shards=8, timeout=0.010, disk=None, **settings):
        super().__init__(directory, timeout, disk, **settings)


def args_to_key(base, args, kwargs, typed, ignore):
    """The key of a call, as diskcache makes it."""
    args = tuple(arg for index, arg in enumerate(args) if index not in ignore)
    key = (*base, *args, None)
    named = sorted((name, value) for name, value in kwargs.items() if name not in ignore)
    key += tuple(part for item in named for part in item)
    if typed:
        key += tuple(type(arg).__qualname__ for arg in args)
        key += tuple(type(value).__qualname__ for _, value in named)
    return key
