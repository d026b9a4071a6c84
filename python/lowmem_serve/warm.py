"""A template for `--reload`: a process that has imported the modules of others that the application imports.

`imported` lists them in a worker, `prepare` imports them in the template, `files` names the files that were read,
and `renew` is called after each fork. Looking at an object writes to it: the work of a template between
two forks, or of a worker, does not go through all modules, or shared pages would be copied.

None of the application's own modules may get into the template: a worker forked from it should be like one that was
started anew. So nothing is imported here either that Python has not imported by itself.
"""

import importlib
import os
import sys

OWN = __name__.partition(".")[0]
"""This package, which a template has without being told."""

LAZY = f"{OWN}.lazy"
"""What makes imports lazy: a template that several applications share has it if two of them do."""

Variables = list[tuple[str, str | None]]
"""Variables of the environment; None is one that is not set."""

PATCHING = {"gevent.monkey", "eventlet.patcher"}
"""An application has them change other modules before it imports what uses those; a template would come too early."""

INSTALLED = ("site-packages", "dist-packages")

_prepared = 0
"""How many modules the template has that this process was forked from."""


def imported(is_shared: bool) -> tuple[list[str], list[tuple[str, int]], Variables, list[str]]:
    """The directories that modules have come from, the modules with the numbers of their directories, in
    the order in which their imports began, the variables that the application has changed, and where the standard
    library is.

    Where the template is shared by several applications, without its own modules, and without variables.
    """
    directories: dict[str, int] = {}
    modules = []
    for name, file in _modules(_prepared if is_shared else 0):
        if name.partition(".")[0] != OWN or (is_shared and name.startswith(LAZY)):
            number = directories.setdefault(os.path.dirname(file), len(directories))
            modules.append((name, number))
    if not is_shared:
        return list(directories), modules, _changed_variables(), []
    return list(directories), modules, [], _standard()


def prepare(
    modules: list[str],
    directories: list[str],
    application: frozenset[str],
    variables: Variables,
    is_shared: bool,
    is_of_python: bool,
) -> tuple[str | None, str, list[str]] | None:
    """Imports the modules; if a template cannot be made of them, says at which one, if it is known, why, and if that
    raised, which others do.

    `directories` are those that the modules come from, `application` are the names of the application's
    own. The application's directory, the first on `sys.path`, is not looked into. A template that several applications
    share imports at once what waits in workers with lazy imports, if it is installed. One of Python alone, for several
    environments, has nothing that depends on one.
    """
    if is_of_python:
        from lowmem_serve import venv

        venv.prepare()
        modules = [name for name in modules if not venv.is_kept_out(name)]
        application |= venv.KEPT_OUT
    if patching := PATCHING.intersection(modules):
        return None, f"{min(patching)} may change other modules", []
    if _threads() > 1:
        return None, "Python's own start has started a thread", []
    raised: list[str] = []
    reason = ""
    first = sys.path.pop(0)
    before = [(name, os.environ.get(name)) for name, _ in variables]
    _set(variables)
    try:
        for name in modules:
            if name in sys.modules:
                continue
            count = len(sys.modules)
            if why := _import(name):
                # No template any more; the next one is made without all that raise.
                raised.append(name)
                reason = reason or why
            elif not raised and (why := _unfit(application) or (is_shared and _strange(count, directories))):
                return name, why, []
    finally:
        _set(before)
        sys.path.insert(0, first)
    if raised:
        return raised[0], reason, raised
    global _prepared
    known = frozenset(directories)
    for name, file in () if is_shared else _modules():
        if os.path.dirname(file) not in known and name.partition(".")[0] != OWN:
            return None, f"{name} is imported, which the application did not do", []
    _prepared = len(sys.modules)
    return None


def packages() -> list[str]:
    """The modules and packages that are imported, without the parts of packages, and without this one."""
    return sorted({name.partition(".")[0] for name, _ in _modules()} - {OWN})


def files() -> list[str]:
    """The files that were imported; what comes from an archive has none."""
    return [file for _, file in _modules()]


def renew() -> None:
    """In a worker, or in a template before its first fork: modules may be found that were not there when it was made."""
    # Not importlib.invalidate_caches, which imports importlib.metadata on 3.13.
    for path, finder in list(sys.path_importer_cache.items()):
        if finder is None:
            del sys.path_importer_cache[path]
        elif hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()


def take_place(
    directory: str, variables: list[tuple[str, str]], argv: list[str], path: str, python: str | None
) -> None:
    """In a worker of one of the applications that share a template: its own directory, environment and path; and with
    `python`, the `sys.executable` of its virtual environment, all that Python's start would have read of that.
    """
    os.chdir(directory)
    # Not update(): its checks of the argument's class fill caches, on pages that are shared.
    for name, value in variables:
        os.environ[name] = value
    if python is not None:
        from lowmem_serve import venv

        venv.enter(python)
    sys.argv = argv
    sys.path[0] = path


def _modules(skipped: int = 0) -> list[tuple[str, str]]:
    """The names and files of what is imported, in order, but for the first; not of what goes by another name
    than its own.
    """
    found = []
    # From the end: a template's modules, the first, are not even looked at.
    backwards = reversed(sys.modules)
    names = [next(backwards) for _ in range(max(len(sys.modules) - skipped, 0))]
    for name in reversed(names):
        module = sys.modules.get(name)
        spec = vars(module).get("__spec__") if isinstance(module, type(sys)) else None
        if spec is not None and spec.name == name and spec.has_location:
            found.append((name, spec.origin))
    return found


def _import(name: str) -> str | None:
    """Why a module could not be imported."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Something that the application has made, and that nothing was executed for, is no obstacle.
        return None if error.name == name else repr(error)
    except (Exception, SystemExit) as error:
        return repr(error)
    return None


def _unfit(application: frozenset[str]) -> str | None:
    """The reason why a template must not have the last import, if there is one."""
    if own := application & sys.modules.keys():
        return f"it imports {min(own)}, which is the application's or its environment's"
    if _threads() > 1:
        return "it starts a thread"
    return None


def _strange(count: int, directories: list[str]) -> str | None:
    """A module beyond so many that an application may not have: it is neither installed nor beside what workers have
    imported.
    """
    standard = _standard()
    known = {*directories, *standard}
    for name, file in _modules(count):
        directory = os.path.dirname(file)
        is_there = directory in known or any(f"/{each}/" in file for each in INSTALLED)
        if not is_there and not any(directory.startswith(f"{each}/") for each in standard):
            return f"it imports {name}, which is not installed"
    return None


def _standard() -> list[str]:
    """Its directory, and that of its extension modules."""
    library = sys._stdlib_dir  # type: ignore[attr-defined]
    dynamic = [path for path in sys.path if os.path.basename(path) == "lib-dynload"]
    return [library, *dynamic] if library else []


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _changed_variables() -> Variables:
    with open("/proc/self/environ", "rb") as file:
        block = file.read().split(b"\0")
    began = dict(entry.split(b"=", 1) for entry in block if b"=" in entry)
    now = os.environb
    changed = [name for name in began.keys() | now.keys() if began.get(name) != now.get(name)]
    return [(os.fsdecode(name), os.environ.get(os.fsdecode(name))) for name in sorted(changed)]


def _set(variables: Variables) -> None:
    for name, value in variables:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
