"""The kernel's scheduler, as it tells of a process."""

import ctypes
import platform
import struct
from pathlib import Path

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
ATTRIBUTES = struct.Struct("=IIQiIQQQ")


def turn(pid: int = 0) -> int:
    """Nanoseconds that the first thread of a process computes at a time (`sched_runtime`, `sched_setattr(2)`); 0 where
    the kernel does not tell, before Linux 6.12."""
    number = SCHED_GETATTR.get(platform.machine())
    if number is None:
        return 0
    found = ctypes.create_string_buffer(ATTRIBUTES.size)
    if ctypes.CDLL(None, use_errno=True).syscall(number, pid, found, ATTRIBUTES.size, 0) != 0:
        raise OSError(ctypes.get_errno(), "sched_getattr")
    return ATTRIBUTES.unpack(found.raw)[5]


def session_niceness(pid: int | str = "self") -> int | None:
    """The niceness of a process's session, where the kernel schedules sessions against each other (autogroup). The file
    is empty for processes without a session of their own, as init's: they count as 0."""
    try:
        told = Path(f"/proc/{pid}/autogroup").read_text()
    except FileNotFoundError:
        return None
    return int(told.rpartition(" ")[2] or 0)
