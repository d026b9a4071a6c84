"""The cache on disk as a Django cache backend; `lowmem_serve.django.Cache` is its name in settings.

    CACHES = {"default": {"BACKEND": "lowmem_serve.django.Cache", "LOCATION": "pages", "OPTIONS": {"size": "256M"}}}

`LOCATION` is a name, or an absolute directory of the cache's own. Values of every type are kept by pickle, as in every
backend of Django's; `OPTIONS = {"pickle": False}` refuses what is not plain.
"""

import os

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from lowmem_serve import cache

_MISSING = object()


class Cache(BaseCache):
    """A Django cache."""

    def __init__(self, location, params):
        super().__init__(params)
        options = params.get("OPTIONS") or {}
        directory, name = os.path.split(location)
        self.store = cache.open(
            name or "django",
            options.get("size", "64M"),
            directory=directory or None,
            pickle=options.get("pickle", True),
        )

    def _key(self, key, version):
        return self.make_and_validate_key(key, version=version)

    def _ttl(self, timeout):
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        return float("inf") if timeout is None else max(timeout, 0)

    def get(self, key, default=None, version=None):
        return self.store.get(self._key(key, version), default)

    def set(self, key, value, timeout=DEFAULT_TIMEOUT, version=None):
        self.store.set(self._key(key, version), value, self._ttl(timeout))

    def add(self, key, value, timeout=DEFAULT_TIMEOUT, version=None):
        return self.store.add(self._key(key, version), value, self._ttl(timeout))

    def touch(self, key, timeout=DEFAULT_TIMEOUT, version=None):
        return self.store.touch(self._key(key, version), self._ttl(timeout))

    def delete(self, key, version=None):
        return self.store.delete(self._key(key, version))

    def has_key(self, key, version=None):
        return self._key(key, version) in self.store

    def incr(self, key, delta=1, version=None):
        stored = self._key(key, version)
        number = self.store.incr(stored, delta, default=None)
        if number is not None:
            return number
        # A number that is no integer of 64 bits, which Django adds to as well; or no value.
        old = self.store.get(stored, _MISSING)
        if old is _MISSING:
            raise ValueError(f"Key '{key}' not found")
        new = old + delta
        _, _, expires, _ = self.store.peek(stored) or (None, None, None, None)
        ttl = float("inf") if expires is None else max(expires - cache.time.time(), 0)
        self.store.set(stored, new, ttl)
        return new

    def clear(self):
        self.store.clear()
