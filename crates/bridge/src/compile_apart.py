# Compiles what it reads from stdin, one module after the other, until stdin ends. A request is the lengths
# of path and source (4 bytes each, little-endian), then both; an answer is a length and the marshalled code,
# or a zero where the source can't be compiled: whoever asked then compiles it, and raises.
import marshal
import sys

requests, answers = sys.stdin.buffer, sys.stdout.buffer
while lengths := requests.read(8):
    path = requests.read(int.from_bytes(lengths[:4], "little")).decode("utf-8", "surrogateescape")
    source = requests.read(int.from_bytes(lengths[4:], "little"))
    try:
        code = marshal.dumps(compile(source, path, "exec", dont_inherit=True))
    except Exception:
        code = b""
    answers.write(len(code).to_bytes(4, "little") + code)
    answers.flush()
