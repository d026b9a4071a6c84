"""Which modules are lazy, and which of their imports: what `--lazy-imports` says."""

from lowmem_serve.lazy.proven import EAGER_MODULES, PACKAGES

_PACKAGES_OF_OTHERS = ("/site-packages/", "/dist-packages/")


class Rule:
    """The rule for the imports of one module."""

    __slots__ = ("careful", "excluded", "mark", "targets")

    def __init__(self, targets, careful, excluded):
        # Only imports of these wait; None is any.
        self.targets = targets
        # The package has not been proven: what it does not use itself is imported at once.
        self.careful = careful
        self.excluded = excluded
        self.mark = _mark((targets and sorted(targets), careful, sorted(excluded)))

    def facts(self):
        """Return what makes another rule like this one, for another process (marshal)."""
        return self.targets, self.careful, self.excluded

    @classmethod
    def of(cls, facts):
        return cls(*facts)

    def defers(self, target):
        if any(_is_in(target, each) for each in self.excluded):
            return False
        return self.targets is None or any(_is_in(target, each) for each in self.targets)


class Choice:
    """The meaning of the words of `--lazy-imports`.

    - `auto`: the modules of the packages in proven.py;
    - `NAME`: the modules of NAME if it is the application's own, else the application's imports of NAME;
    - `NAME.*`: the modules of NAME, wherever it is installed;
    - `-NAME`: neither NAME's modules nor imports of it.
    """

    def __init__(self, words, application, directory):
        excluded = frozenset(word[1:] for word in words if word.startswith("-"))
        chosen = [word for word in words if not word.startswith("-") and word != "auto"]
        self.proven = PACKAGES if "auto" in words else frozenset()
        self.excluded = excluded
        self.inside = frozenset(word[:-2] for word in chosen if word.endswith(".*"))
        self.named = frozenset(word for word in chosen if not word.endswith(".*"))
        self.application = application.partition(".")[0]
        self.directory = directory.rstrip("/") + "/"
        self._proven_rule = Rule(None, False, excluded)
        self._own_rule = Rule(None, True, excluded)
        self._target_rule = Rule(self.named, True, excluded) if self.named else None

    def may_concern(self, name):
        """Whether it is worth finding the module; whose it is may depend on where it is."""
        return bool(self.named) or self._is_proven(name) or any(_is_in(name, each) for each in self.inside)

    def rule(self, name, origin):
        """Return the rule for a module, or None: it stays as it is."""
        if any(_is_in(name, each) for each in self.excluded):
            return None
        if self._is_proven(name):
            return self._proven_rule
        if any(_is_in(name, each) for each in self.inside):
            return self._own_rule
        if not self._is_application(name, origin):
            return None
        if any(_is_in(name, each) for each in self.named):
            return self._own_rule
        return self._target_rule

    def _is_proven(self, name):
        return name.partition(".")[0] in self.proven and name not in EAGER_MODULES

    def _is_application(self, name, origin):
        if name.partition(".")[0] == self.application:
            return True
        return origin.startswith(self.directory) and not any(each in origin for each in _PACKAGES_OF_OTHERS)


def _is_in(name, package):
    return name == package or name.startswith(package + ".")


def _mark(value):
    """A few letters that stand for a rule; FNV-1a, because hashes of str differ in each process."""
    if value == (None, False, []):
        return ""
    number = 0xCBF29CE484222325
    for byte in repr(value).encode():
        number = (number ^ byte) * 0x100000001B3 % 2**64
    return f"{number:016x}"
