"""CPython 3.15 and later: the interpreter's own lazy imports (PEP 810), for the same choice."""

import sys

from lowmem_serve.lazy.transform import EAGER


def install_filter(choice):
    """Have top-level imports wait where `choice` says so."""

    def may_wait(importing, imported, names):
        if imported in EAGER:
            return False
        module = sys.modules.get(importing)
        rule = choice.rule(importing, getattr(module, "__file__", None) or "")
        return rule is not None and all(
            rule.defers(target) for target in (imported, *(f"{imported}.{name}" for name in names or ()))
        )

    sys.set_lazy_imports_filter(may_wait)
    sys.set_lazy_imports("all")
