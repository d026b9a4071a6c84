"""Tells all that a start of Python reads of its environment: at the import of the application, and when it is asked."""

import builtins
import importlib.metadata
import json
import multiprocessing.spawn
import os
import site
import subprocess
import sys
import sysconfig

AT_IMPORT = frozenset(sys.modules)
RUN = "import json, sys; print(json.dumps([sys.path, sys.prefix, sys.flags.no_site, sys.executable]))"


def state() -> dict[str, object]:
    of_sys = (
        "executable _base_executable prefix exec_prefix base_prefix base_exec_prefix platlibdir _home _stdlib_dir"
        " pycache_prefix dont_write_bytecode path argv warnoptions _xoptions _framework implementation"
    )
    here = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True).stdout
    arguments = subprocess._args_from_interpreter_flags()
    return {
        "sys": {name: repr(getattr(sys, name, None)) for name in of_sys.split()},
        "flags": repr(sys.flags),
        # The last one is a descriptor's number.
        "orig_argv": sys.orig_argv[:-1],
        "site": {
            name: repr(getattr(site, name))
            for name in ("PREFIXES", "ENABLE_USER_SITE", "USER_SITE", "USER_BASE")
        },
        "finders": [getattr(each, "__name__", type(each).__name__) for each in sys.meta_path],
        "hooks": [each.__qualname__ for each in sys.path_hooks],
        "builtins": sorted(name for name in vars(builtins) if name != "_"),
        "interactive": sys.__interactivehook__.__qualname__,
        "paths": sysconfig.get_paths(),
        "spawn": os.fsdecode(multiprocessing.spawn.get_executable()),
        "distributions": sorted(str(each.metadata["Name"]) for each in importlib.metadata.distributions()),
        "streams": [repr(each) for each in (sys.stdin, sys.stdout, sys.stderr)],
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "process": json.loads(here),
        "arguments": arguments,
        "main": sorted(vars(sys.modules["__main__"])),
    }


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    import venv_module

    told = {
        "state": state(),
        "module": venv_module.__file__,
        "modules": sorted(AT_IMPORT),
        "wrapped": sorted(name for name in sys.modules if "finder" in name or name == "_virtualenv"),
        "typing": sys.modules["typing"].__file__ if "typing" in sys.modules else None,
        "fractions": sys.modules["fractions"].__file__ if "fractions" in sys.modules else None,
        "pid": os.getpid(),
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
