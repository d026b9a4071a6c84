"""`run`: becomes the server."""

import os
import sys

from lowmem_serve import entered
from lowmem_serve.__main__ import become


def run(app: object, **settings: object) -> None:
    """Serves `app`, named as `module:attribute`: this process becomes the server, and the call never returns.

        if __name__ == "__main__":
            lowmem_serve.run("main:app", port=8000, workers=2)

    Settings are named as the flags are (`timeout_keep_alive=5`), and as `uvicorn.run` names its own.
    In a process of the server, which imports the same module, the call returns at once.
    """
    if in_a_process_of_the_server():
        return
    from lowmem_serve import options

    arguments, variables = options.command_line(app, settings)
    if hasattr(sys, "ps1") or sys.flags.interactive or "ipykernel" in sys.modules:
        raise RuntimeError(
            "lowmem_serve.run() would end this interpreter: use lowmem_serve.serve(), whose server is beside it"
        )
    become(arguments + directory(arguments[0], settings), variables)


def in_a_process_of_the_server() -> bool:
    """Whether this is a worker, its template, or the process of a job."""
    return entered.core() is not None or "lowmem_serve.running" in sys.modules


def directory(app: str, settings: dict[str, object]) -> list[str]:
    """Where the application is, if not said: beside the script, if its module is there, as Python would look."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if settings.get("app_dir") is not None or script is None:
        return []
    beside = os.path.dirname(os.path.abspath(script))
    top = app.partition(":")[0].partition(".")[0]
    is_there = os.path.exists(os.path.join(beside, f"{top}.py")) or os.path.isdir(os.path.join(beside, top))
    return [f"--app-dir={beside}"] if is_there else []
