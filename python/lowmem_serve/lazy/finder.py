"""The finder on `sys.meta_path`, and the loader that executes transformed code."""

import sys
from _frozen_importlib import _call_with_frames_removed
from _frozen_importlib_external import SourceFileLoader

from lowmem_serve.lazy import cache, names, submodules
from lowmem_serve.lazy.choice import Rule


class Finder:
    """Lets `Loader` load source modules of the chosen packages, whichever finder finds them (PEP 451)."""

    def __init__(self, choice, apart=None):
        self.choice = choice
        # Does `transformed_source` in another process.
        self.apart = apart

    def find_spec(self, name, path=None, target=None):
        if not self.choice.may_concern(name):
            return None
        spec = self._found_by_others(name, path, target)
        # Extensions, archives and frozen modules have loaders of their own, and stay as they are.
        if spec is None or type(spec.loader) is not SourceFileLoader or not spec.has_location:
            return spec
        rule = self.choice.rule(name, spec.origin)
        if rule is not None:
            spec.loader = Loader(name, spec.origin, rule, self.apart)
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
    """Source, data and resources as usual; only the executed code is transformed.

    `get_code` returns the code of the source: code that is executed elsewhere (runpy) has no waiting names.
    """

    def __init__(self, name, path, rule, apart):
        super().__init__(name, path)
        self.rule = rule
        self.apart = apart

    def exec_module(self, module):
        namespace = module.__dict__
        spec = module.__spec__
        is_package = spec.submodule_search_locations is not None
        directory = self.path.rpartition("/")[0] if is_package else None
        code, table = cache.load(
            self,
            self.path,
            self.rule.mark,
            lambda data: self._transformed(data, spec.parent, directory),
        )
        waiting = names.defer(namespace, self.path, table)
        submodules.reach(namespace, table, is_package and self.rule.targets is None)
        _call_with_frames_removed(exec, code, namespace)
        submodules.keep_reach(namespace)
        names.settle(waiting)

    def _transformed(self, data, package, directory):
        """Return (code, table) for the source; `directory` is that of a package, else None."""
        arguments = (self.path, self.rule.facts(), package, directory)
        made = self.apart and self.apart(data, arguments)
        # An error in the source is raised here, with the module's own import below it.
        return made or transformed_source(data, *arguments)


def transformed_source(data, path, facts, package, directory):
    """Transform a file's bytes by the rule that has these facts."""
    from lowmem_serve.lazy.transform import transform

    is_submodule = None if directory is None else lambda name: submodules.lies_in(directory, name)
    return transform(data, path, Rule.of(facts), package, is_submodule)


# Python leaves the frames of importlib's files out of tracebacks; this one is of their kind.
Loader.exec_module.__code__ = Loader.exec_module.__code__.replace(
    co_filename=SourceFileLoader.exec_module.__code__.co_filename
)
