"""The interpreter: where it is, what it prints, its stack and its collector."""

import faulthandler
import gc
import logging
import os
import sys
import tempfile
import threading

from runtime.truth import truth


@truth
async def interpreter(scope):
    import __main__

    return {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "exec_prefix": sys.exec_prefix,
        "version": sys.version,
        "argv": sys.argv,
        "path": sys.path,
        "flags": [sys.flags.isolated, sys.flags.no_site, sys.flags.safe_path, sys.flags.utf8_mode],
        "encoding": [sys.getfilesystemencoding(), sys.stdout.encoding, sys.stderr.encoding],
        "main": [__main__.__name__, getattr(__main__, "__file__", None)],
        "thread": [threading.current_thread() is threading.main_thread(), threading.main_thread().name],
        "pid": os.getpid(),
    }


def dive(depth=0):
    return dive(depth + 1)


@truth
async def recursion(scope):
    try:
        dive()
    except RecursionError:
        return "RecursionError"


@truth
async def uncaught_recursion(scope):
    dive()


@truth
async def collect_garbage(scope):
    return gc.collect() >= 0


@truth
async def dump_traceback(scope):
    faulthandler.enable()
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return [faulthandler.is_enabled(), file.read().decode()]


@truth
async def print_and_log(scope):
    print("printed without a flush")
    print("printed to stderr", file=sys.stderr)
    logging.getLogger("runtime").warning("logged by the application")
