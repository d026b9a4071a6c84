"""Connections that get no answer while others do: no load generator tells of them.

wrk counts a timeout only when the answer comes at last. Nor can it be reckoned from the number of connections
that rate times mean latency keeps busy: wrk's latency begins with the first write of a request, and how long a
connection whose answer has been read waits for that is in no figure. While wrk writes bodies of 1 MB to other
connections, that is a third of the time. So the kernel is asked when each connection last received something:
sock_diag(7), with `struct tcp_info` of linux/tcp.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST_AND_DUMP = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
INET_DIAG_INFO = 2
TCP_ESTABLISHED = 1

MESSAGE_HEAD = struct.Struct("=IHHII")
QUESTION = struct.Struct("=BBBxI48x")
"""`inet_diag_req_v2`: family, protocol, what else is wanted, states, and a socket that is left open."""
PORTS = struct.Struct("!4xHH")
"""The beginning of `inet_diag_msg`, after which both ports are in network order."""
ANSWER_BYTES = 72
ATTRIBUTE_HEAD = struct.Struct("=HH")
LAST_RECEIVED = struct.Struct("=52xI")
"""`tcp_info`: milliseconds since data was last received, or since the connection was made."""

RECEIVE_BYTES = 1 << 20


class CannotTell(Exception):
    """This kernel does not answer."""


def silent(port: int, seconds: float) -> int:
    """Return how many connections to a port of 127.0.0.1 have received nothing for so long."""
    return sum(idle >= seconds for idle in _idle_seconds(port))


def can_be_told() -> bool:
    """Return whether this kernel answers."""
    try:
        silent(0, 0)
    except CannotTell:
        return False
    return True


def _idle_seconds(port: int) -> Iterator[float]:
    """Yield for each established connection to the port, as its client sees it, how long it has received nothing."""
    for message in _established():
        _, peer_port = PORTS.unpack_from(message)
        if peer_port != port:
            continue
        offset = ANSWER_BYTES
        while offset + ATTRIBUTE_HEAD.size <= len(message):
            length, kind = ATTRIBUTE_HEAD.unpack_from(message, offset)
            if kind == INET_DIAG_INFO:
                (milliseconds,) = LAST_RECEIVED.unpack_from(message, offset + ATTRIBUTE_HEAD.size)
                yield milliseconds / 1000
            offset += max(ATTRIBUTE_HEAD.size, length + 3 & ~3)


def _established() -> Iterator[memoryview]:
    """Yield an `inet_diag_msg` with its attributes for each established TCP connection of IPv4."""
    question = QUESTION.pack(
        socket.AF_INET, socket.IPPROTO_TCP, 1 << INET_DIAG_INFO - 1, 1 << TCP_ESTABLISHED
    )
    length = MESSAGE_HEAD.size + len(question)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
            kernel.send(
                MESSAGE_HEAD.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_AND_DUMP, 0, 0) + question
            )
            while True:
                received = memoryview(kernel.recv(RECEIVE_BYTES))
                while received:
                    length, kind, *_ = MESSAGE_HEAD.unpack_from(received)
                    if kind == NLMSG_DONE:
                        return
                    if kind == NLMSG_ERROR:
                        raise CannotTell("the kernel has no inet_diag")
                    yield received[MESSAGE_HEAD.size : length]
                    received = received[length + 3 & ~3 :]
    except OSError as error:
        raise CannotTell(str(error)) from error
