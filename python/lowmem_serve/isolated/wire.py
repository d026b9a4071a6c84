"""Messages between a caller and the process of its call: pickles over a socket, large parts beside it.

A message is a kind and an object. The object is a pickle (protocol 5) and its buffers, which are the parts of the
message. Small ones follow the header; where they are large, all parts are in a memory file (`memfd_create`) whose
descriptor goes with the header: they are written once, and the other side maps them without a copy.
"""

import array
import errno
import mmap
import os
import pickle
import socket
import struct
from collections.abc import Sequence

LARGE = 1 << 20
"""Parts of so many bytes together go into a memory file."""

LARGE_CALL = 128 << 10
"""For a call it is less: what does not fit into the socket would have the event loop wait for the process."""

HEADER = struct.Struct("<cBI")
"""The kind, whether there is a memory file, the number of parts."""

LENGTH = struct.Struct("<Q")

READ = 64 << 10

Message = tuple[bytes, object]


def encoded(kind: bytes, content: object, large: int = LARGE) -> tuple[bytes, int | None]:
    """The bytes of a message and its memory file, if there is one."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(content, 5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    lengths = b"".join(LENGTH.pack(part.nbytes) for part in parts)
    is_large = sum(part.nbytes for part in parts) >= large
    header = HEADER.pack(kind, is_large, len(parts)) + lengths
    if not is_large:
        return header + b"".join(parts), None
    return header, _memory_file(parts)


def _memory_file(parts: Sequence[memoryview]) -> int:
    file = os.memfd_create("lowmem-serve-isolated", os.MFD_CLOEXEC)
    try:
        for part in parts:
            while part.nbytes:
                part = part[os.write(file, part) :]
    except BaseException:
        os.close(file)
        raise
    return file


def send(connection: socket.socket, kind: bytes, content: object, large: int = LARGE) -> None:
    """Sends a message. A blocking socket waits for room; one that is not must have it."""
    text, file = encoded(kind, content, large)
    try:
        if file is None:
            connection.sendall(text)
        else:
            attached = array.array("i", [file])
            sent = connection.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, attached)])
            connection.sendall(text[sent:])
    finally:
        if file is not None:
            os.close(file)


class Reader:
    """The messages that arrive on a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._bytes = bytearray()
        self._files: list[int] = []

    def read(self) -> bool:
        """Reads what is there; whether the other end is still open."""
        size = array.array("i").itemsize
        data, ancillary, _, _ = self.connection.recvmsg(
            READ, socket.CMSG_SPACE(4 * size), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(content[: len(content) - len(content) % size])
                self._files.extend(received)
        self._bytes += data
        return bool(data)

    def take(self) -> Message | None:
        """The next message, if all of it is there."""
        if len(self._bytes) < HEADER.size:
            return None
        kind, is_large, count = HEADER.unpack_from(self._bytes)
        at = HEADER.size + count * LENGTH.size
        if len(self._bytes) < at:
            return None
        lengths = [LENGTH.unpack_from(self._bytes, HEADER.size + n * LENGTH.size)[0] for n in range(count)]
        if is_large:
            parts = self._mapped(lengths)
        elif len(self._bytes) < at + sum(lengths):
            return None
        else:
            # Each of its own: an object that is kept must not keep all that came with it.
            parts = []
            for length in lengths:
                parts.append(memoryview(self._bytes[at : at + length]))
                at += length
        del self._bytes[:at]
        return kind, pickle.loads(parts[0], buffers=parts[1:])

    def _mapped(self, lengths: list[int]) -> list[memoryview]:
        if not self._files:
            # The kernel drops what a process has no descriptor for.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        file = self._files.pop(0)
        try:
            mapped = memoryview(mmap.mmap(file, sum(lengths)))
        finally:
            os.close(file)
        parts, at = [], 0
        for length in lengths:
            parts.append(mapped[at : at + length])
            at += length
        return parts

    def close(self) -> None:
        """Closes the socket and what came over it and was not taken."""
        self.connection.close()
        while self._files:
            os.close(self._files.pop())
