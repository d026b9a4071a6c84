"""Names in a module's namespace whose import waits until somebody looks for them.

A waiting name is a *key* of the namespace: a `str` whose `__eq__` performs the import. A dictionary
compares a key that is looked for with one of the same hash, so every way of looking leads here:
compiled code (LOAD_GLOBAL, LOAD_NAME), `module.name`, `globals()["name"]`, `eval` with the namespace
as its globals. Functions keep the real `__builtins__`, and the namespace stays an exact `dict`.

The rejected ways: a `__builtins__` with `__missing__` makes each use of a builtin 30 to 100 times as
slow before CPython 3.13, and `globals()["name"]` fails; a proxy object as the value is not what the
program imported.

A lookup that finds the key of a waiting name does this:

1. The import statement is executed as it stands in the source, and its result becomes the key's value.
   The key stays, so that an iteration over the namespace is not disturbed.
2. The next lookup puts a plain `str` in the key's place. Once a namespace has no special key left, it
   is made anew in place, because CPython's inline caches only work where all keys are plain.

**Threads.** The steps that must be seen whole (a value and its key) are written without a call
between them: CPython lets other threads run only at calls, at backward jumps and at the start of
functions. Imports are under importlib's own locks and nothing else, so there is nothing to deadlock with.
"""

import sys
from _functools import partial
from _operator import call
from _thread import get_ident

# The thread whose lookups shall pass waiting names by, because it asks for the keys themselves.
_looking = 0

_ABSENT = object()

_CO_OPTIMIZED = 1

# Every namespace that has had waiting names.
_waiting: list["Waiting"] = []

# (id of a name, thread) while that thread executes its import.
_importing: set[tuple[int, int]] = set()

# References to a name that is met in its own namespace and nowhere else; measured below.
_usual_references = 0


class Waiting:
    """What waits in one namespace. It is the value of each waiting name until the import."""

    __slots__ = ("filename", "left", "namespace")

    def __init__(self, namespace, filename):
        self.namespace = namespace
        self.filename = filename
        # Keys that are not plain yet.
        self.left = 0

    def __repr__(self):
        return f"<lazy import in {self.namespace.get('__name__')!r}>"


class Name(str):
    """The key of a waiting name."""

    __slots__ = ("statements", "waiting")
    __hash__ = str.__hash__

    def __eq__(self, other):
        same = str.__eq__(self, other)
        if same is not True:
            return same
        thread = get_ident()
        # As in an eager import, the name is not there yet for the code that it runs.
        if _looking == thread or (id(self), thread) in _importing:
            return False
        _met(self, sys._getframe(1), thread)
        return True

    def __reduce__(self):
        return str, (str.__str__(self),)


class _Names:
    """A module's `__dir__` (PEP 562): with one of the keys themselves, no lookup would be noticed."""

    __slots__ = ("namespace",)

    def __init__(self, namespace):
        self.namespace = namespace

    def __call__(self):
        return [str.__str__(key) for key in list(self.namespace) if key != "__dir__"]


def defer(namespace, filename, table):
    """Put the names of `table` (name: statements) into the namespace, without importing them.

    A name whose module is loaded already is bound at once: that costs nothing.
    """
    waiting = Waiting(namespace, filename)
    for plain, statements in table:
        value = _loaded(namespace, statements)
        if value is not _ABSENT:
            namespace[plain] = value
            continue
        name = Name(plain)
        name.waiting = waiting
        name.statements = statements
        # After a reload the name is there, waiting or not; another key of its kind takes its place.
        _remove(namespace, name)
        namespace[name] = waiting
        waiting.left += 1
    if waiting.left:
        _waiting.append(waiting)
        namespace["__dir__"] = _Names(namespace)
    return waiting


def settle(waiting=None):
    """Give namespaces in which nothing waits any more their plain keys back."""
    for each in [waiting] if waiting else list(_waiting):
        namespace = each.namespace
        names = [key for key in list(namespace) if type(key) is Name]
        for name in names:
            if _value(namespace, name) is not name.waiting:
                _make_plain(namespace, name)
        each.left = sum(type(key) is Name for key in list(namespace))
        _anew_if_plain(each)


def pending():
    """Return (module, name) of each import that still waits."""
    found = []
    for each in _waiting:
        for name in list(each.namespace):
            if type(name) is Name and _value(each.namespace, name) is each:
                found.append((each.namespace.get("__name__"), str.__str__(name)))
    return found


def source(plain, statement):
    """Return the text of the one import that a statement makes for a name."""
    _line, level, module, attribute = statement
    if attribute is None:
        return f"import {module}"
    if attribute == "":
        return f"import {module} as {plain}"
    renamed = "" if attribute == plain else f" as {plain}"
    return f"from {'.' * level}{module} import {attribute}{renamed}"


def _met(name, frame, thread):
    """A lookup has come upon the key `name`."""
    waiting = name.waiting
    namespace = waiting.namespace
    value = _value(namespace, name)
    if value is waiting:
        value = _import(name, thread)
        _bind(namespace, name, value, thread)
    elif value is not _ABSENT:
        _make_plain(namespace, name)
        _anew_if_plain(waiting)
    if sys.getrefcount(name) > _usual_references - (not _holds(namespace, name)):
        _heal_copies(name, value, frame, thread)


def _import(name, thread):
    """Execute the import statements of a name as its module would have."""
    waiting = name.waiting
    plain = str.__str__(name)
    bound = {}
    mark = (id(name), thread)
    _importing.add(mark)
    try:
        for statement in name.statements:
            text = source(plain, statement)
            code = compile(text, waiting.filename, "exec", dont_inherit=True)
            try:
                exec(code.replace(co_firstlineno=statement[0]), waiting.namespace, bound)
            except Exception as error:
                place = f"{waiting.filename}, line {statement[0]}"
                error.add_note(f"The import waited for this first use of {plain!r}: {text} ({place})")
                raise
    finally:
        _importing.discard(mark)
    return bound[plain]


def _bind(namespace, name, value, thread):
    """Give the name its value, unless it has got one meanwhile."""
    global _looking
    plain = sys.intern(str.__str__(name))
    _looking = thread
    try:
        # The import has bound a submodule of that name to its package: two keys would be one too many.
        if plain in namespace:
            del namespace[name]
            namespace[plain] = value
            name.waiting.left -= 1
        elif namespace[name] is name.waiting:
            namespace[name] = value
    except KeyError:
        pass
    finally:
        _looking = 0


def _make_plain(namespace, name):
    global _looking
    plain = sys.intern(str.__str__(name))
    thread = get_ident()
    _looking = thread
    try:
        value = namespace[name]
        del namespace[name]
        namespace[plain] = value
    except KeyError:
        return
    finally:
        _looking = 0
    if namespace is name.waiting.namespace:
        name.waiting.left -= 1


def _anew_if_plain(waiting):
    """Make the namespace anew in place if all its keys are plain: its table does not forget by itself."""
    namespace = waiting.namespace
    if waiting.left > 0 or any(type(key) is Name for key in list(namespace)):
        return
    if waiting in _waiting:
        _waiting.remove(waiting)
    if type(namespace.get("__dir__")) is _Names:
        del namespace["__dir__"]
    # One call from the interpreter's view, so that no other thread finds the namespace empty.
    any(map(call, (namespace.clear, partial(namespace.update, namespace.copy()))))


def _heal_copies(name, value, frame, thread):
    """Bind the name in other dictionaries that have its key: copies of the namespace, star imports.

    The lookup may have been in one of them. Those of the frame that looked are tried first: finding
    others takes a walk over the heap.
    """
    waiting = name.waiting
    optimized = frame.f_code.co_flags & _CO_OPTIMIZED
    near = [frame.f_globals] if optimized else [frame.f_globals, frame.f_locals]
    healed = [_heal(each, name, value, thread) for each in near if each is not waiting.namespace]
    if not any(healed):
        import gc

        # Copies that were made before the worker's heap was frozen are hidden from the walk.
        if gc.get_freeze_count():
            gc.unfreeze()
        for each in gc.get_referrers(name):
            if isinstance(each, dict) and each is not waiting.namespace:
                _heal(each, name, value, thread)


def _heal(namespace, name, value, thread):
    found = _value(namespace, name)
    if found is _ABSENT:
        return False
    if found is not name.waiting:
        _make_plain(namespace, name)
    else:
        _bind(namespace, name, _import(name, thread) if value is _ABSENT else value, thread)
    return True


def _value(namespace, name):
    """Return the value of exactly this key: for a plain one, a waiting one of its name is not there."""
    global _looking
    thread = get_ident()
    _looking = thread
    try:
        return namespace[name]
    except KeyError:
        return _ABSENT
    finally:
        _looking = 0


def _holds(namespace, name):
    return _value(namespace, name) is not _ABSENT


def _remove(namespace, name):
    for key in [key for key in namespace if str.__eq__(key, name)]:
        global _looking
        _looking = get_ident()
        try:
            del namespace[key]
        finally:
            _looking = 0


def _loaded(namespace, statements):
    """Return what the statements would bind if all that they name is loaded, else _ABSENT."""
    value = _ABSENT
    for _line, level, module, attribute in statements:
        absolute = absolute_name(namespace, level, module)
        loaded = sys.modules.get(absolute)
        if loaded is None:
            return _ABSENT
        if attribute is None:
            value = sys.modules.get(absolute.partition(".")[0], _ABSENT)
        elif attribute == "":
            value = loaded
        else:
            value = _value(vars(loaded), attribute)
        if value is _ABSENT:
            return _ABSENT
    return value


def absolute_name(namespace, level, module):
    if not level:
        return module
    package = namespace.get("__package__") or ""
    for _ in range(level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{module}" if module else package


def _measure_usual_references():
    """Let a lookup come upon a name, and count its references there."""

    def met(name, frame, thread):
        global _usual_references
        value = name.waiting
        waiting = name.waiting
        namespace = waiting.namespace
        _usual_references = sys.getrefcount(name)
        return value, namespace

    global _met
    real, _met = _met, met
    namespace = {}
    waiting = Waiting(namespace, "")
    name = Name("probe")
    name.waiting = waiting
    namespace[name] = waiting
    del name
    try:
        namespace["probe"]
    finally:
        _met = real


_measure_usual_references()
