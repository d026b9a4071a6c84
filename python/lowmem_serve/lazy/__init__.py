"""Lazy imports: PEP 810's semantics for applications that do not know of them, from CPython 3.11 on.

docs/lazy-imports.md is for users. A finder (finder.py) has the modules of chosen packages (choice.py,
proven.py) executed without the imports that can wait (transform.py, cache.py); their names wait in
the module's namespace for the first lookup (names.py, submodules.py).
"""

import sys


def install(words, application, directory, apart=None, turns=None):
    """Make the imports lazy that `words` choose (see choice.Choice); before the application is imported.

    `application` is the module that will be imported, `directory` where it is looked for.
    `apart(source, arguments)` is `finder.transformed_source` in another process, for modules that are not
    in the cache; None from it means that it cannot, or that the source has an error. `turns` are the
    server's part of `names.serve_with`.
    """
    from lowmem_serve.lazy.choice import Choice

    choice = Choice(words, application, directory)
    if hasattr(sys, "set_lazy_imports_filter"):
        from lowmem_serve.lazy.native import install_filter

        install_filter(choice)
        return
    from lowmem_serve.lazy import names
    from lowmem_serve.lazy.finder import Finder

    if turns:
        names.serve_with(*turns)
    sys.meta_path.insert(_first_that_reads_files(), Finder(choice, apart))


def settle():
    """Make lookups fast: the application is loaded."""
    if "lowmem_serve.lazy.names" in sys.modules:
        sys.modules["lowmem_serve.lazy.names"].tidy()


def uncached():
    """Return why transformed code could not be kept, if it could not."""
    cache = sys.modules.get("lowmem_serve.lazy.cache")
    return cache and cache.not_kept


def unknown(words):
    """Return the packages among the words of --lazy-imports that are neither loaded nor to be found."""
    names = {word.removeprefix("-").removesuffix(".*") for word in words} - {"auto"}
    return sorted(name for name in names if not _is_there(name))


def _is_there(name):
    """Whether a module can be found, without importing its parent or importlib.util."""
    if name in sys.modules:
        return True
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        return _is_there(parent)
    path = getattr(sys.modules[parent], "__path__", ()) if parent else None
    return any(finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))


def _first_that_reads_files():
    """Behind the finders of built-in and frozen modules, which are not for us."""
    names = [getattr(finder, "__name__", "") for finder in sys.meta_path]
    return names.index("FrozenImporter") + 1 if "FrozenImporter" in names else 0
