"""A module's code without the imports that can wait, and a table of them.

Only statements directly in the module's body are taken out, as PEP 810 has it, and of those only the
ones for which waiting cannot be told from not waiting. These stay where they are:

- `from __future__`, `import *`, and modules that the standard library looks for in raw namespaces;
- names that the module's own code uses while it is executed (a base class, a decorator): they would
  wait for nothing;
- names that are bound or deleted anywhere else in the module, or declared `global` in a function;
- in a package, names that are also the name of a submodule, unless it is this submodule: importing it
  binds the name again, so the order decides which one stays;
- all, if the module's body looks into its own namespace (`globals()`, `vars()`, `eval` …).

In packages that have not been proven safe, so does what the module does not use itself: it may be
imported for what that does.
"""

import _ast
import sys

# dataclasses, typing and enum recognise annotations and bases by what these names are at once.
EAGER = frozenset(
    ("__future__", "typing", "typing_extensions", "dataclasses", "enum", "abc", "collections.abc")
)

_LOOKS_INTO_NAMESPACE = frozenset(("globals", "locals", "vars", "dir", "eval", "exec"))

_FUNCTIONS = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.Lambda)

_ANNOTATIONS_WAIT = sys.version_info >= (3, 14)


def transform(source, path, rule, package, is_submodule):
    """Return (code, table) for a file's bytes: the table has a name and its statements for each import taken out.

    `rule.defers(target)` says for an absolute name whether its import may wait, `package` resolves
    relative ones (None where there is none) and `is_submodule(name)` tells what lies in the package's
    directory; it is None for a module that is no package.
    """
    tree = compile(source, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    candidates = [node for node in tree.body if _is_candidate(node)]
    uses = _Uses(_has_future_annotations(tree.body))
    for node in tree.body:
        if node not in candidates:
            uses.visit(node, runs=True)
    may_wait = _Selection(rule, package, is_submodule, uses)
    eager = may_wait.eager_names(candidates)
    table = {}
    body = []
    for node in tree.body:
        if node not in candidates:
            body.append(node)
            continue
        kept = []
        for alias in node.names:
            name = bound_name(node, alias)
            if name in eager:
                kept.append(alias)
            else:
                table.setdefault(name, []).append(_statement(node, alias))
        body.append(_with_names(node, kept))
    tree.body = body
    code = compile(tree, path, "exec", dont_inherit=True)
    return code, tuple((name, tuple(statements)) for name, statements in table.items())


class _Selection:
    """Which candidates stay."""

    def __init__(self, rule, package, is_submodule, uses):
        self.rule = rule
        self.package = package
        self.is_submodule = is_submodule
        self.uses = uses

    def eager_names(self, candidates):
        """Return the names that must not wait: all statements for one name are treated alike."""
        bindings = [(node, alias) for node in candidates for alias in node.names]
        if self.uses.looks_into_namespace:
            return {bound_name(*each) for each in bindings}
        return {bound_name(*each) for each in bindings if not self._may_wait(*each)}

    def _may_wait(self, node, alias):
        name = bound_name(node, alias)
        uses = self.uses
        if name in uses.at_once or name in uses.bound:
            return False
        if self.rule.careful and name not in uses.anywhere and not _is_exported(alias, name, uses):
            return False
        target = self._target(node, alias)
        if target is None or target in EAGER or not self.rule.defers(target):
            return False
        if isinstance(node, _ast.ImportFrom):
            if not self.rule.defers(f"{target}.{alias.name}"):
                return False
            own = target == self.package and alias.name == name
            return own or self.is_submodule is None or not self.is_submodule(name)
        return self.is_submodule is None or not self.is_submodule(name)

    def _target(self, node, alias):
        if isinstance(node, _ast.Import):
            return alias.name
        if not node.level:
            return node.module
        parts = (self.package or "").split(".")
        if not parts[0] or node.level > len(parts):
            return None
        base = ".".join(parts[: len(parts) - node.level + 1])
        return f"{base}.{node.module}" if node.module else base


class _Uses:
    """The uses of a module's names in the rest of the module."""

    def __init__(self, annotations_wait):
        self.annotations_wait = annotations_wait or _ANNOTATIONS_WAIT
        # Read while the module's body is executed.
        self.at_once = set()
        # Read anywhere in it.
        self.anywhere = set()
        # Bound or deleted by something else than a candidate.
        self.bound = set()
        self.exported = set()
        self.looks_into_namespace = False

    def visit(self, node, runs, at_top=True):
        """Take note of a statement or expression; `runs` with the module's body, `at_top` in its scope."""
        method = getattr(self, f"_{type(node).__name__}", None)
        if method is not None:
            method(node, runs, at_top)
        elif isinstance(node, _FUNCTIONS):
            self._function(node, runs, at_top)
        else:
            self._parts(node, runs, at_top)

    def _parts(self, node, runs, at_top):
        for field in node._fields:
            value = getattr(node, field, None)
            for part in value if isinstance(value, list) else (value,):
                if isinstance(part, _ast.AST):
                    self.visit(part, runs, at_top)
                elif at_top and isinstance(part, str) and field in ("name", "rest"):
                    # `except … as name`, `case … as name`, `**rest`.
                    self.bound.add(part)

    def _Name(self, node, runs, at_top):
        if isinstance(node.ctx, _ast.Load):
            self.anywhere.add(node.id)
            if runs:
                self.at_once.add(node.id)
        elif at_top:
            self.bound.add(node.id)

    def _Constant(self, node, runs, at_top):
        # A quoted annotation, or a type in a string: whatever it is, its words are uses.
        if isinstance(node.value, str) and len(node.value) < 200:
            self.anywhere.update(_words(node.value))

    def _Call(self, node, runs, at_top):
        if runs and isinstance(node.func, _ast.Name) and node.func.id in _LOOKS_INTO_NAMESPACE:
            self.looks_into_namespace |= at_top
        self._parts(node, runs, at_top)

    def _Global(self, node, runs, at_top):
        self.bound.update(node.names)

    def _Import(self, node, runs, at_top):
        if at_top:
            self.bound.update(bound_name(node, alias) for alias in node.names)

    _ImportFrom = _Import

    def _If(self, node, runs, at_top):
        self.visit(node.test, runs, at_top)
        # Perhaps it is never executed: what is used there may wait to be used.
        for part in node.body + node.orelse:
            self.visit(part, False, at_top)

    def _ClassDef(self, node, runs, at_top):
        if at_top:
            self.bound.add(node.name)
        for part in node.decorator_list + node.bases + node.keywords + node.body:
            self.visit(part, runs, False)
        for part in getattr(node, "type_params", ()):
            self.visit(part, False, False)

    def _AnnAssign(self, node, runs, at_top):
        self.visit(node.target, runs, at_top)
        if node.value is not None:
            self.visit(node.value, runs, at_top)
        self.visit(node.annotation, runs and not self.annotations_wait, False)

    def _Assign(self, node, runs, at_top):
        if any(isinstance(target, _ast.Name) and target.id == "__all__" for target in node.targets):
            constants = getattr(node.value, "elts", ())
            self.exported.update(each.value for each in constants if isinstance(each, _ast.Constant))
        self._parts(node, runs, at_top)

    def _function(self, node, runs, at_top):
        arguments = node.args
        for part in arguments.defaults + [each for each in arguments.kw_defaults if each is not None]:
            self.visit(part, runs, False)
        every = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
        every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        annotations = [each.annotation for each in every if each.annotation is not None]
        if isinstance(node, _ast.Lambda):
            body = [node.body]
        else:
            if at_top:
                self.bound.add(node.name)
            body = node.body + list(getattr(node, "type_params", ()))
            annotations += [node.returns] if node.returns is not None else []
            for decorator in node.decorator_list:
                self.visit(decorator, runs, False)
        for annotation in annotations:
            # With type parameters, annotations are in a scope of their own and executed all the same.
            self.visit(annotation, runs and not self.annotations_wait, False)
        for part in body:
            self.visit(part, False, False)


def bound_name(node, alias):
    """Return the name that an import binds."""
    if alias.asname:
        return alias.asname
    return alias.name.partition(".")[0] if isinstance(node, _ast.Import) else alias.name


def _is_candidate(node):
    if isinstance(node, _ast.Import):
        return True
    return isinstance(node, _ast.ImportFrom) and node.module != "__future__" and node.names[0].name != "*"


def _is_exported(alias, name, uses):
    """Whether it is said to be there for others: `import x as x`, or in `__all__`."""
    return name in uses.exported or alias.asname == alias.name


def _statement(node, alias):
    """Return (line, level, module, attribute); names.source has the reverse."""
    if isinstance(node, _ast.ImportFrom):
        return node.lineno, node.level, node.module or "", alias.name
    return node.lineno, 0, alias.name, "" if alias.asname else None


def _with_names(node, kept):
    """Return the statement with these names only; without any, one that does nothing on its line."""
    place = {
        field: getattr(node, field) for field in ("lineno", "col_offset", "end_lineno", "end_col_offset")
    }
    if not kept:
        return _ast.Pass(**place)
    node.names = kept
    return node


def _has_future_annotations(body):
    return any(
        isinstance(node, _ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in body
    )


def _words(text):
    return "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text).split()
