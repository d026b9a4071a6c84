"""The finder on `sys.meta_path`, and the loader that executes transformed code."""

import sys
from _frozen_importlib import _call_with_frames_removed
from _frozen_importlib_external import SourceFileLoader

from lowmem_serve.lazy import cache, names, submodules
from lowmem_serve.lazy.choice import Rule


class Finder:
    """Has source modules of the chosen packages loaded by `Loader`, whoever finds them (PEP 451)."""

    def __init__(self, choice, make):
        self.choice = choice
        # Transforms a module's source.
        self.make = make

    def find_spec(self, name, path=None, target=None):
        if not self.choice.may_concern(name):
            return None
        spec = self._found_by_others(name, path, target)
        # Extensions, archives and frozen modules have loaders of their own, and stay as they are.
        if spec is None or type(spec.loader) is not SourceFileLoader or not spec.has_location:
            return spec
        rule = self.choice.rule(name, spec.origin)
        if rule is not None:
            spec.loader = Loader(name, spec.origin, rule, self.make)
        return spec

    def _found_by_others(self, name, path, target):
        finders = sys.meta_path
        after = finders[finders.index(self) + 1 :] if self in finders else finders
        for finder in after:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec and find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


class Loader(SourceFileLoader):
    """Source, data and resources as ever; only what is executed is transformed.

    `get_code` stays that of the source: whoever executes code elsewhere (runpy) has no waiting names.
    """

    def __init__(self, name, path, rule, make):
        super().__init__(name, path)
        self.rule = rule
        self.make = make

    def exec_module(self, module):
        namespace = module.__dict__
        spec = module.__spec__
        is_package = spec.submodule_search_locations is not None
        directory = self.path.rpartition("/")[0] if is_package else None
        code, table = cache.load(
            self,
            self.path,
            self.rule.mark,
            lambda data: self.make(data, self.path, self.rule, spec.parent, directory),
        )
        waiting = names.defer(namespace, self.path, table)
        submodules.reach(namespace, table, is_package and self.rule.targets is None)
        _call_with_frames_removed(exec, code, namespace)
        submodules.keep_reach(namespace)
        names.settle(waiting)


def transformed(data, path, rule, package, directory):
    """Return (code, table) for a source file's bytes; `directory` is that of a package, else None."""
    from lowmem_serve.lazy.transform import transform

    is_submodule = None if directory is None else lambda name: submodules.lies_in(directory, name)
    return transform(data, path, rule, package, is_submodule)


def transformed_apart():
    """Return `transformed` done in another process, and a function that ends it."""
    from lowmem_serve.lazy.apart import Apart

    apart = Apart(lambda data, path, rule, *rest: transformed(data, path, Rule.of(rule), *rest))

    def make(data, path, rule, package, directory):
        made = apart(data, path, rule.facts(), package, directory)
        return transformed(data, path, rule, package, directory) if made is None else made

    return make, apart.end


# Python leaves the frames of importlib's files out of tracebacks; this one is of their kind.
Loader.exec_module.__code__ = Loader.exec_module.__code__.replace(
    co_filename=SourceFileLoader.exec_module.__code__.co_filename
)
