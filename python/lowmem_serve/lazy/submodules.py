"""Submodules as attributes of their packages, when the import that would have bound them waits.

`from .app import App` binds `App`, and as a side effect the submodule `app` to its package, where others
look for it: `import package; package.app`. A package whose modules are lazy therefore imports a
submodule when it is asked for it as an attribute (PEP 562). So does another package, for submodules
of which an import waits.
"""

import sys
from _frozen_importlib import _gcd_import
from _frozen_importlib_external import _path_isdir, _path_isfile

from lowmem_serve.lazy.names import absolute_name

# Endings of files that importlib takes for a module.
_ENDINGS = (".py", ".so", f".{sys.implementation.cache_tag}.so", ".abi3.so")

# Packages that are asked for submodules; of those that are not lazy themselves, the ones that wait.
_reaching: dict[str, set[str] | None] = {}


def lies_in(directory, name):
    """Whether a package's directory has a submodule of this name."""
    stem = f"{directory}/{name}"
    return _path_isdir(stem) or any(_path_isfile(stem + ending) for ending in _ENDINGS)


def reach(namespace, table, is_lazy_package):
    """Make submodules reachable whose import the table defers."""
    if is_lazy_package:
        _reaching[namespace["__name__"]] = None
        namespace["__getattr__"] = _Attributes(namespace, None)
    for _, statements in table:
        for _line, level, module, attribute in statements:
            absolute = absolute_name(namespace, level, module)
            _reach_from_parent(absolute)
            if attribute:
                _reach_from_parent(f"{absolute}.{attribute}")


def keep_reach(namespace):
    """Come back if the package has put a `__getattr__` of its own in our place."""
    own = namespace.get("__getattr__")
    was_ours = namespace["__name__"] in _reaching
    if was_ours and type(own) is not _Attributes:
        namespace["__getattr__"] = _Attributes(namespace, own)


def _reach_from_parent(absolute):
    package, _, name = absolute.rpartition(".")
    parent = sys.modules.get(package)
    if parent is None or absolute in sys.modules or not hasattr(parent, "__path__"):
        return
    namespace = vars(parent)
    if "__getattr__" not in namespace:
        _reaching[package] = set()
        namespace["__getattr__"] = _Attributes(namespace, None)
    chosen = _reaching.get(package)
    if chosen is not None:
        chosen.add(name)


class _Attributes:
    """A package's `__getattr__`: first its own, if it has one, then its submodules."""

    __slots__ = ("namespace", "own")

    def __init__(self, namespace, own):
        self.namespace = namespace
        self.own = own

    def __call__(self, name):
        package = self.namespace["__name__"]
        if self.own is not None:
            try:
                return self.own(name)
            except AttributeError:
                if not self._is_ours(package, name):
                    raise
        elif not self._is_ours(package, name):
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        return _gcd_import(f"{package}.{name}")

    def _is_ours(self, package, name):
        if name.startswith("__") or not name.isidentifier():
            return False
        chosen = _reaching.get(package)
        if chosen is not None:
            return name in chosen
        return any(lies_in(directory, name) for directory in self.namespace.get("__path__", ()))
