"""On the PYTHONPATH of a test suite's interpreter: makes imports lazy before anything else is imported."""

import atexit
import os
import sys

words = os.environ.get("LAZY_PROOF_WORDS")
if words:
    from lowmem_serve import lazy

    lazy.install(words.split(","), "", "/nowhere")

    def count() -> None:
        """Tell how many modules were lazy: a suite proves nothing if none was."""
        loaders = [
            getattr(getattr(module, "__spec__", None), "loader", None) for module in sys.modules.values()
        ]
        number = sum(type(loader).__module__ == "lowmem_serve.lazy.finder" for loader in loaders)
        with open(os.environ["LAZY_PROOF_COUNTS"], "a") as file:
            file.write(f"{number}\n")

    atexit.register(count)
