"""Names in a module's namespace whose import waits until they are looked up.

A waiting name is a *key* of the namespace: a `str` whose `__eq__` performs the import. A dictionary
compares a key that is looked for with one of the same hash, so every way of looking leads here:
compiled code (LOAD_GLOBAL, LOAD_NAME), `module.name`, `globals()["name"]`, `eval` with the namespace
as its globals. Functions keep the real `__builtins__`, and the namespace stays an exact `dict`.

The rejected ways: a `__builtins__` with `__missing__` makes each use of a builtin 30 to 100 times as
slow before CPython 3.13, and `globals()["name"]` fails; a proxy object as the value is not what the
program imported.

A lookup that finds the key of a waiting name executes the import statement as it stands in the source, and
its result becomes the key's value. Nothing else of a dictionary is ever changed within a comparison: the lookup
may be part of a merge or of an iteration, which do not survive another key. A key whose import is done
answers like a `str`, only more slowly, and `settle` puts plain ones in the place of all such keys between two
turns of the worker, when no iteration is under way. CPython's inline caches need that.

**Copies.** A dictionary with the same key (`globals().copy()`, a star import) gets the value when it is looked up
there. A merge into a dictionary that has the name already (`{"json": 1} | globals()`) keeps that one's plain key,
and has taken the value before the comparison: the placeholder. It is replaced by the import's result soon after
(`heal`); until then, and wherever else values are taken without a lookup (`vars(module).values()`), the placeholder
passes every use on.

**Threads.** The steps that must be seen whole are written without a call between them, or in a single one:
CPython lets other threads run only at calls, at backward jumps and at the start of functions. Imports are under
importlib's own locks and nothing else, so there is nothing to deadlock with.
"""

import _operator
import sys
from _functools import partial
from _thread import get_ident

# Threads whose lookups shall pass waiting names by, because they ask for the keys themselves.
_looking: set[int] = set()

_ABSENT = object()

_CO_OPTIMIZED = 1

# Every namespace that has had waiting names.
_waiting: list["Waiting"] = []

# (id of a name, thread) while that thread executes its import.
_importing: set[tuple[int, int]] = set()

# Names whose placeholder was seen by more than their namespace.
_copied: list["Name"] = []

# Other dictionaries in which names were met, by their ids.
_copies: dict[int, dict] = {}

# References to a name that is met in its own namespace and nowhere else, and to its placeholder; measured below.
_usual_references = 0
_usual_of_placeholder = 0

# How a note about names that wait begins, and how many of them it names.
_NOTE = "--lazy-imports: these imports wait in"
_NAMED = 8

_ITERATORS = (type(iter({}.keys())), type(iter({}.values())), type(iter({}.items())))


class _Nothing:
    """Stands for the server's turns where there is no server."""

    def __getitem__(self, _):
        return 0

    def __call__(self):
        pass


# `_soon[0]` has `heal` called before the next statements. After a call in place of the
# subscription CPython would look for such work at once, within the comparison. `_later()` has `tidy` called when
# the worker has time.
_soon = _later = _Nothing()


def serve_with(soon, later):
    """Take what has `heal` and `tidy` called."""
    global _soon, _later
    _soon, _later = soon, later


class Waiting:
    """The waiting names of one namespace."""

    __slots__ = ("filename", "namespace")

    def __init__(self, namespace, filename):
        self.namespace = namespace
        self.filename = filename


class Name(str):
    """The key of a waiting name."""

    # Without statements the import is done, and no copy is known.
    __slots__ = ("placeholder", "statements", "value", "waiting")
    __hash__ = str.__hash__

    def __eq__(self, other):
        same = str.__eq__(self, other)
        if same is not True or (self.statements is None and type(other) is str and not _looking):
            return same
        thread = get_ident()
        if thread in _looking:
            return False
        # As in an eager import, the name is not there yet for the code that it runs.
        if (id(self), thread) in _importing:
            is_bound = _value(self.waiting.namespace, self) is not self.placeholder
            return is_bound or _binds_submodule(sys._getframe(1))
        _met(self, sys._getframe(1), thread)
        if type(other) is Name:
            _met(other, sys._getframe(1), thread)
        return not _copied or _soon[0] is not None

    def __reduce__(self):
        return str, (str.__str__(self),)


class Placeholder:
    """The value of a waiting name until the import; where it was copied, it stands for the import's result."""

    __slots__ = ("_name",)

    def __init__(self, name):
        object.__setattr__(self, "_name", name)

    def __getattribute__(self, attribute):
        value = _result(self)
        if attribute == "__mro_entries__" and isinstance(value, type):
            return lambda bases: (value,)
        return getattr(value, attribute)

    def __repr__(self):
        return repr(_result(self))


def _forwarded(function):
    return lambda self, *arguments: function(_result(self), *arguments)


def _forward():
    """Special methods are looked for in types, not in what `__getattribute__` says."""
    functions = {"setattr": setattr, "delattr": delattr, "dir": dir, "hash": hash, "str": str, "iter": iter}
    functions |= {"instancecheck": lambda value, other: isinstance(other, value)}
    functions |= {"subclasscheck": lambda value, other: issubclass(other, value)}
    functions |= {"bool": bool, "len": len, "ror": lambda value, other: other | value, "or": _operator.or_}
    for name in ("eq", "ne", "lt", "le", "gt", "ge", "getitem", "setitem", "delitem", "contains"):
        functions[name] = getattr(_operator, name)
    for name, function in functions.items():
        setattr(Placeholder, f"__{name}__", _forwarded(function))
    Placeholder.__call__ = lambda self, *arguments, **named: _result(self)(*arguments, **named)


_forward()
_name_of = Placeholder._name.__get__


class _Names:
    """A module's `__dir__` (PEP 562): with one of the keys themselves, no lookup would be noticed."""

    __slots__ = ("namespace",)

    def __init__(self, namespace):
        self.namespace = namespace

    def __call__(self):
        names = [str.__str__(key) for key in list(self.namespace) if key != "__dir__"]
        return list(dict.fromkeys(names))


def defer(namespace, filename, table):
    """Put the names of `table` (name: statements) into the namespace, without importing them.

    A name whose module is loaded already is bound at once: that costs nothing.
    """
    waiting = Waiting(namespace, filename)
    is_waiting = False
    for plain, statements in table:
        value = _loaded(namespace, statements)
        if value is not _ABSENT:
            namespace[plain] = value
            continue
        name = _new(plain, statements, waiting)
        # After a reload the name is there, waiting or not; another key of its kind takes its place.
        _remove(namespace, name)
        namespace[name] = name.placeholder
        is_waiting = True
    if is_waiting:
        _waiting.append(waiting)
        namespace["__dir__"] = _Names(namespace)
    return waiting


def _new(plain, statements, waiting):
    name = Name(plain)
    name.waiting = waiting
    name.statements = statements
    name.value = _ABSENT
    name.placeholder = Placeholder(name)
    return name


def settle(waiting=None):
    """Put plain keys in the place of those whose import is done; return whether it could be done everywhere."""
    if waiting is not None:
        _settle(waiting)
        return True
    iterated = _iterated()
    for each in list(_waiting):
        if id(each.namespace) not in iterated:
            _settle(each)
    for key, copy in list(_copies.items()):
        if key not in iterated:
            _make_plain(copy)
            del _copies[key]
    return not _copies and all(id(each.namespace) not in iterated for each in _waiting)


def tidy():
    """Between two turns of the worker: do what could not be done within a comparison."""
    heal()
    if not settle():
        _later()


def heal():
    """Put results in the place of placeholders that were copied while their names were looked up."""
    if not _copied:
        return
    import gc

    while _copied:
        name = _copied.pop()
        for each in gc.get_referrers(name.placeholder):
            if not isinstance(each, dict):
                continue
            for key, value in list(dict.items(each)):
                if value is name.placeholder:
                    dict.__setitem__(each, key, name.value)


def _settle(waiting):
    if _make_plain(waiting.namespace) or waiting not in _waiting:
        return
    _waiting.remove(waiting)
    if type(waiting.namespace.get("__dir__")) is _Names:
        del waiting.namespace["__dir__"]


def _make_plain(namespace):
    """Make a dictionary anew in place; return whether something waits in it still."""
    fresh, done, waits = {}, {}, False
    thread = get_ident()
    _looking.add(thread)
    try:
        for key, value in list(namespace.items()):
            if type(key) is not Name:
                # The import's code may have set a key of the same name beside it.
                fresh.setdefault(key, value)
            elif value is key.placeholder:
                waits = True
                fresh[key] = value
            else:
                plain = sys.intern(str.__str__(key))
                fresh[plain] = done[plain] = value
        if done:
            # One call from the interpreter's view, so that no other thread finds the namespace empty.
            any(map(_operator.call, (namespace.clear, partial(namespace.update, fresh))))
    finally:
        _looking.discard(thread)
    return waits


def _iterated():
    """Return the ids of what iterators refer to that are not old: another key would end the iteration."""
    import gc

    young = [each for generation in (0, 1) for each in gc.get_objects(generation)]
    iterators = [each for each in young if type(each) in _ITERATORS]
    return {id(each) for iterator in iterators for each in gc.get_referents(iterator)}


def pending():
    """Return (module, name) of each import that still waits."""
    found = []
    for each in _waiting:
        for name in list(each.namespace):
            if type(name) is Name and _value(each.namespace, name) is name.placeholder:
                found.append((each.namespace.get("__name__"), str.__str__(name)))
    return found


def note(error, trace):
    """Add a note to an exception whose module has waiting imports: their side effects have not happened yet."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    namespace = trace and trace.tb_frame.f_globals
    if not any(each.namespace is namespace for each in _waiting):
        return
    keys = [key for key, value in list(namespace.items()) if type(key) is Name and value is key.placeholder]
    if not keys or any(each.startswith(_NOTE) for each in getattr(error, "__notes__", ())):
        return
    names = ", ".join(str.__str__(key) for key in keys[:_NAMED])
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    module = namespace.get("__name__")
    error.add_note(f"{_NOTE} {module} still: {names}{more}. The word -{module} has them imported at once.")


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
    if _value(namespace, name) is name.placeholder:
        _bind(namespace, name, _result_of(name, thread))
    references = sys.getrefcount(name) + (not _holds(namespace, name))
    if references > _usual_references:
        _heal_copies(name, frame, thread)
    elif name.value is not _ABSENT:
        name.statements = None
    # Something else has it: a copy that was healed by now, or the merge that this lookup is part of.
    if name.value is not _ABSENT and sys.getrefcount(name.placeholder) > _usual_of_placeholder:
        _copied.append(name)
    _later()


def _result(placeholder):
    """Return what a placeholder stands for."""
    name = _name_of(placeholder)
    value = name.value
    if value is _ABSENT:
        thread = get_ident()
        if (id(name), thread) in _importing:
            raise ImportError(f"{str.__str__(name)!r} is used by the import that it waits for")
        value = _result_of(name, thread)
        _bind(name.waiting.namespace, name, value)
        _later()
    return value


def _result_of(name, thread):
    if name.value is _ABSENT:
        name.value = _import(name, thread)
    return name.value


def _binds_submodule(frame):
    """Whether the import system is about to bind a module to its package, where its name waits."""
    code = frame.f_code
    return code.co_name == "_find_and_load_unlocked" and code.co_filename.startswith("<frozen importlib")


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


def _bind(namespace, name, value):
    """Give the name its value, unless it has got another one meanwhile."""
    found = _value(namespace, name)
    submodule = sys.modules.get(f"{namespace.get('__name__')}.{str.__str__(name)}", _ABSENT)
    # The import has bound a submodule to its package under this name, before the name itself.
    if found is name.placeholder or found is submodule:
        _set(namespace, name, value)


def _set(namespace, key, value):
    """Set the value of exactly this key, which is there."""
    thread = get_ident()
    _looking.add(thread)
    try:
        namespace[key] = value
    finally:
        _looking.discard(thread)


def _heal_copies(name, frame, thread):
    """Bind the name in other dictionaries that have its key: copies of the namespace, star imports.

    The lookup may have been in one of them. Those of the frame that looked are tried first: finding
    others takes a walk over the heap.
    """
    namespace = name.waiting.namespace
    optimized = frame.f_code.co_flags & _CO_OPTIMIZED
    near = [frame.f_globals] if optimized else [frame.f_globals, frame.f_locals]
    healed = [_heal(each, name, thread) for each in near if each is not namespace]
    if not any(healed):
        import gc

        # Copies that were made before the worker's heap was frozen are hidden from the walk.
        if gc.get_freeze_count():
            gc.unfreeze()
        for each in gc.get_referrers(name):
            if isinstance(each, dict) and each is not namespace:
                _heal(each, name, thread)


def _heal(namespace, name, thread):
    found = _value(namespace, name)
    if found is name.placeholder:
        _set(namespace, name, _result_of(name, thread))
    if found is not _ABSENT and type(namespace) is dict:
        _copies[id(namespace)] = namespace
    return found is not _ABSENT


def _value(namespace, name):
    """Return the value of exactly this key: for a plain one, a waiting one of its name is not there."""
    thread = get_ident()
    _looking.add(thread)
    try:
        return namespace[name]
    except KeyError:
        return _ABSENT
    finally:
        _looking.discard(thread)


def _holds(namespace, name):
    return _value(namespace, name) is not _ABSENT


def _remove(namespace, name):
    for key in [key for key in namespace if str.__eq__(key, name)]:
        thread = get_ident()
        _looking.add(thread)
        try:
            del namespace[key]
        finally:
            _looking.discard(thread)


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
    """Let a lookup come upon a name, and count the references there."""

    def met(name, frame, thread):
        global _usual_references, _usual_of_placeholder
        waiting = name.waiting
        namespace = waiting.namespace
        _usual_references = sys.getrefcount(name) + (not _holds(namespace, name))
        _set(namespace, name, None)
        _usual_of_placeholder = sys.getrefcount(name.placeholder)

    global _met
    real, _met = _met, met
    namespace = {}
    name = _new("probe", (), Waiting(namespace, ""))
    namespace[name] = name.placeholder
    del name
    try:
        namespace["probe"]
    finally:
        _met = real


_measure_usual_references()
