"""Entering a virtual environment after the start of Python, in a process that was forked from a template of several.

The template was started as with `python -S`: nothing of a virtual environment has been read but where its Python is from,
which is the same for all that share it. What is left is the work of the module `site`, and that is done here by `site`
itself: prefixes, site-packages, their `.pth` files, `sitecustomize`.
"""

import sys

OWN = __name__.partition(".")[0]
"""This package."""

KEPT_OUT = frozenset(
    {
        # They keep sys.prefix or sys.executable as it is when they are imported, or import what does.
        "_aix_support",
        "_pyrepl",
        "_sysconfigdata",
        "_zoneinfo",
        "cgitb",
        "ctypes._aix",
        "ensurepip",
        "multiprocessing.forkserver",
        "multiprocessing.managers",
        "multiprocessing.popen_forkserver",
        "multiprocessing.popen_spawn_posix",
        "multiprocessing.resource_tracker",
        "multiprocessing.shared_memory",
        "multiprocessing.spawn",
        "pydoc",
        "sysconfig",
        "trace",
        "venv",
        "xmlrpc.server",
        "zoneinfo",
        # virtualenv and setuptools change it when it is imported.
        "distutils",
        # The start of a virtual environment imports them.
        "sitecustomize",
        "usercustomize",
    }
)
"""Modules of the standard library that no template of several environments has."""


def is_kept_out(name: str) -> bool:
    """Whether a module, or a package that it is in, is one of them; of the second level at most."""
    first, _, rest = name.partition(".")
    return (
        first in KEPT_OUT
        or f"{first}.{rest.partition('.')[0]}" in KEPT_OUT
        or first.startswith("_sysconfigdata")
    )


def prepare() -> None:
    """In the template: `site` is there, and has not been used, as with `python -S`."""
    import site  # noqa: F401


def enter(python: str) -> None:
    """Does what the start of this `python` would have done. The first entry of `sys.path` is the application's place."""
    import site

    sys.executable = python
    sys.orig_argv = [python, *(word for word in sys.orig_argv[1:] if word != "-S")]
    # The entries of Python's own start, without the application's and without the finder of this package.
    application = sys.path.pop(0)
    own = [finder for finder in sys.meta_path if type(finder).__module__ == OWN]
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in own]
    site.main()
    sys.meta_path += own
    sys.path.insert(0, application)
