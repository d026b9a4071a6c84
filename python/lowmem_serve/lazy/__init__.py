"""Lazy imports: PEP 810's semantics for applications that do not know of them, from CPython 3.11 on.

docs/lazy-imports.md is for users. A finder (finder.py) has the modules of chosen packages (choice.py,
proven.py) executed without the imports that can wait (transform.py, cache.py); their names wait in
the module's namespace for the first lookup (names.py, submodules.py).
"""

import sys

# What has to be done once the application is loaded.
_at_the_end = []


def install(words, application, directory, apart=False):
    """Make the imports lazy that `words` choose (see choice.Choice); before the application is imported.

    `application` is the module that will be imported, `directory` where it is looked for. `apart` has
    modules that are not in the cache transformed in another process, until `settle`.
    """
    from lowmem_serve.lazy.choice import Choice

    choice = Choice(words, application, directory)
    if hasattr(sys, "set_lazy_imports_filter"):
        from lowmem_serve.lazy.native import install_filter

        install_filter(choice)
        return
    from lowmem_serve.lazy import names
    from lowmem_serve.lazy.finder import Finder, transformed, transformed_apart

    make, end = transformed_apart() if apart else (transformed, lambda: None)
    _at_the_end.extend((names.settle, end))
    sys.meta_path.insert(_first_that_reads_files(), Finder(choice, make))


def settle():
    """The application is loaded: what was only needed for that goes, lookups become fast."""
    while _at_the_end:
        _at_the_end.pop()()


def _first_that_reads_files():
    """Behind the finders of built-in and frozen modules, which are not for us."""
    names = [getattr(finder, "__name__", "") for finder in sys.meta_path]
    return names.index("FrozenImporter") + 1 if "FrozenImporter" in names else 0
