# Compiles modules for a worker that has no bytecode for them, one after the other. sys.argv[1] is the
# directory of our own package, if there is one.
#
# A request on fd 0, a socket, is a letter and the lengths of two parts (4 bytes each, little-endian), then
# both; an answer is a length and bytes, or a zero where it cannot be done: the worker does it then, and raises.
#
#   c  path and source; the marshalled code
#   t  marshalled arguments of lazy.finder.transformed and source; the marshalled code and table
#   e  the end
#
# The socket does not close with the worker's end while a process that the worker has forked holds a copy. So
# the end is a message, and the kernel's alarm ends a process that is idle, or that works for too long.
import posix
import sys
from _signal import SIG_DFL, SIGALRM, alarm, signal
from marshal import dumps, loads

IDLE, LONGEST = 3, 30

# The worker's other code may wait for its children: this is not to be one of them.
if posix.fork():
    posix._exit(0)
signal(SIGALRM, SIG_DFL)


def load_package(directory):
    from _frozen_importlib import _load
    from _frozen_importlib_external import spec_from_file_location

    init = f"{directory}/__init__.py"
    _load(spec_from_file_location("lowmem_serve", init, submodule_search_locations=[directory]))


def transformed(arguments, source):
    if "lowmem_serve" not in sys.modules:
        load_package(sys.argv[1])
    from lowmem_serve.lazy.finder import transformed_source

    return transformed_source(source, *loads(arguments))


def compiled(path, source):
    return compile(source, path.decode("utf-8", "surrogateescape"), "exec", dont_inherit=True)


answers = {b"c": compiled, b"t": transformed}
with open(0, "rb", closefd=False) as requests, open(0, "wb", closefd=False) as out:
    while True:
        alarm(IDLE)
        head = requests.read(9)
        answer = answers.get(head[:1])
        if answer is None:
            break
        alarm(LONGEST)
        first = requests.read(int.from_bytes(head[1:5], "little"))
        second = requests.read(int.from_bytes(head[5:], "little"))
        try:
            made = dumps(answer(first, second))
        except Exception:
            made = b""
        out.write(len(made).to_bytes(4, "little") + made)
        out.flush()
posix._exit(0)
