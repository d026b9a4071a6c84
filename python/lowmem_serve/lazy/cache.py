"""Transformed code on disk, as importlib keeps compiled code.

A file lies beside the module's own `.pyc`, or below `PYTHONPYCACHEPREFIX`, with a tag of ours in the
place of the optimisation level. It starts with what it was made of: the magic number of the
interpreter, this format, and the time and size of the source. Where it cannot be written, the module is
transformed again at the next start; that costs time and memory, and nothing else.
"""

import sys
from _frozen_importlib_external import MAGIC_NUMBER, _path_split, _write_atomic, cache_from_source
from marshal import dumps, loads

# Grows with every change to what transform.py makes.
FORMAT = 1

# Why something was not kept.
not_kept = None


def load(loader, path, mark, make):
    """Return what was kept for the source at `path`, or what `make` makes of it, which is then kept.

    `mark` stands for the rules that it is made by: each has a file of its own.
    """
    stats = loader.path_stats(path)
    header = _header(stats)
    file = _file(path, mark)
    kept = _read(loader, file, header)
    if kept is not None:
        return kept
    made = make(loader.get_data(path))
    _keep(file, header, made, path)
    return made


def _keep(file, header, made, path):
    global not_kept
    if file is None:
        return
    if sys.dont_write_bytecode:
        not_kept = "Python is told not to write bytecode (PYTHONDONTWRITEBYTECODE)"
        return
    try:
        _write(file, header + dumps(made), path)
    except OSError as error:
        # A read-only directory, or no room.
        not_kept = f"{_path_split(file)[0]} cannot be written ({error.strerror})"


def _header(stats):
    # The clock's nanoseconds in full: a file that is written twice in a second is two files.
    numbers = (FORMAT, int(stats["mtime"] * 1_000_000), stats["size"])
    return MAGIC_NUMBER + b"".join(number.to_bytes(8, "little") for number in numbers)


def _file(path, mark):
    try:
        level = str(sys.flags.optimize or "")
        return cache_from_source(path, optimization=f"{level}lazy{mark}")
    except NotImplementedError:
        return None


def _read(loader, file, header):
    if file is None:
        return None
    try:
        data = loader.get_data(file)
    except OSError:
        return None
    if data[: len(header)] != header:
        return None
    try:
        return loads(memoryview(data)[len(header) :])
    except (EOFError, ValueError, TypeError):
        # Cut short by a full disk.
        return None


def _write(file, data, source):
    from _frozen_importlib_external import _calc_mode, _path_stat

    directory, _ = _path_split(file)
    missing = []
    while directory and not _is_there(directory, _path_stat):
        missing.append(directory)
        directory, _ = _path_split(directory)
    import posix

    for each in reversed(missing):
        try:
            posix.mkdir(each)
        except FileExistsError:
            pass
    _write_atomic(file, data, _calc_mode(source))


def _is_there(directory, stat):
    try:
        stat(directory)
    except FileNotFoundError:
        return False
    return True
