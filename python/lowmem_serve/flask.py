"""The cache on disk for Flask-Caching and Quart: `CACHE_TYPE = "lowmem_serve.flask.Cache"`.

Settings, of those that Flask-Caching has: `CACHE_DIR` is the directory, `CACHE_KEY_PREFIX` precedes each key,
`CACHE_DEFAULT_TIMEOUT` is in seconds, 0 for no end. `CACHE_OPTIONS` may have `name`, `size` and `pickle`.
"""

from lowmem_serve import cache

try:
    from flask_caching.backends.base import BaseCache
except ImportError:
    from cachelib import BaseCache


class Cache(BaseCache):
    """A cachelib cache. Views return responses and objects of any type, so values are pickled where they are no plain
    ones unless `CACHE_OPTIONS = {"pickle": False}`."""

    def __init__(
        self, name="flask", size="64M", default_timeout=300, directory=None, pickle=True, key_prefix=""
    ):
        super().__init__(default_timeout)
        self.key_prefix = key_prefix
        self.store = cache.open(name, size, directory=directory, pickle=pickle)

    @classmethod
    def factory(cls, app, config, args, kwargs):
        """The factory that Flask-Caching calls."""
        kwargs.pop("ignore_delete_many_errors", None)
        kwargs.setdefault("directory", config.get("CACHE_DIR"))
        kwargs.setdefault("default_timeout", config["CACHE_DEFAULT_TIMEOUT"])
        kwargs.setdefault("key_prefix", config.get("CACHE_KEY_PREFIX") or "")
        return cls(*args, **kwargs)

    def _ttl(self, timeout):
        timeout = self._normalize_timeout(timeout)
        return float("inf") if timeout == 0 else timeout

    def get(self, key):
        return self.store.get(self.key_prefix + key)

    def set(self, key, value, timeout=None):
        return self.store.set(self.key_prefix + key, value, self._ttl(timeout))

    def add(self, key, value, timeout=None):
        return self.store.add(self.key_prefix + key, value, self._ttl(timeout))

    def delete(self, key):
        return self.store.delete(self.key_prefix + key)

    def has(self, key):
        return self.key_prefix + key in self.store

    def inc(self, key, delta=1):
        return self.store.incr(self.key_prefix + key, delta)

    def dec(self, key, delta=1):
        return self.store.incr(self.key_prefix + key, -delta)

    def clear(self):
        return self.store.clear()
