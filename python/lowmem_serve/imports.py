"""The cost of an application's imports: the measurement of `lowmem-serve imports`, in the worker itself.

`install` before the application is imported, `loaded` after it; when the interpreter ends, the report
is written. Imports nothing that is not there already, so that nothing is counted wrongly.
"""

import _frozen_importlib
import _thread
import atexit
import os
import sys
import time
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

SMAPS_BYTES = 8192
DIRTY = b"Private_Dirty:"


class Scales:
    """The process's private dirty memory, and a clock that stands still while it is read."""

    def __init__(self) -> None:
        # The kernel walks every page for it, which takes a millisecond for 40 MB, and is exact.
        self._smaps = os.open("/proc/self/smaps_rollup", os.O_RDONLY | os.O_CLOEXEC)
        self._reading = 0

    def read(self) -> tuple[int, int]:
        """Bytes and nanoseconds."""
        started = time.perf_counter_ns()
        clock = started - self._reading
        rollup = os.pread(self._smaps, SMAPS_BYTES, 0)
        size = int(rollup[rollup.index(DIRTY) + len(DIRTY) :].split(None, 1)[0]) * 1024
        self._reading += time.perf_counter_ns() - started
        return size, clock


class Import:
    """One module: what its import added, with what it imported in turn."""

    __slots__ = ("bytes", "importer", "is_late", "name", "nanoseconds")

    def __init__(self, name: str, importer: int | None, is_late: bool) -> None:
        self.name = name
        self.importer = importer
        self.is_late = is_late
        self.bytes = 0
        self.nanoseconds = 0


class Probe:
    """The measurements so far."""

    def __init__(self, report: str) -> None:
        self.report = report
        self.scales = Scales()
        self.imports: list[Import] = []
        self.executed: set[str] = set()
        self.is_loaded = False
        self.before = self.after = self.scales.read()
        # Imports nest for each thread apart.
        self._under_way: dict[int, list[int]] = {}
        self._watched_by = ""
        # The profile function of each thread, where the interpreter cannot watch all of them.
        self._profile: Callable[[FrameType, str, Any], None] | None = None

    def importing(self, find_and_load: Callable[..., Any]) -> Callable[..., Any]:
        """The import system's own function, measured."""

        def measured(name: str, import_: Callable[..., Any]) -> Any:
            package = name.rpartition(".")[0]
            if package and package not in sys.modules:
                # As the function itself does first: a package is no part of its modules' cost.
                import_(package)
                if name in sys.modules:
                    return sys.modules[name]
            under_way = self._under_way.setdefault(_thread.get_ident(), [])
            one = Import(name, under_way[-1] if under_way else None, self.is_loaded)
            under_way.append(len(self.imports))
            self.imports.append(one)
            size, clock = self.scales.read()
            try:
                return find_and_load(name, import_)
            finally:
                size_after, clock_after = self.scales.read()
                one.bytes, one.nanoseconds = size_after - size, clock_after - clock
                under_way.pop()
                if name == "threading" and self._profile is not None:
                    self._watch_threads()

        return measured

    def watch(self) -> None:
        """From now on every file that a function is called in is remembered."""
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            self._watched_by = "setprofile"
            self._profile = self._called
            self.watch_thread()
            self._watch_threads()
            return
        tools = (tool for tool in range(6) if monitoring.get_tool(tool) is None)
        tool = next(tools, None)
        if tool is None:
            return
        self._watched_by = "monitoring"
        monitoring.use_tool_id(tool, "lowmem-serve imports")
        for event in (monitoring.events.PY_START, monitoring.events.PY_RESUME):
            monitoring.register_callback(tool, event, self._started)
        monitoring.set_events(tool, monitoring.events.PY_START | monitoring.events.PY_RESUME)

    def watch_thread(self) -> None:
        """This thread, which the server has started, is watched, too."""
        if self._profile is not None:
            sys.setprofile(self._profile)

    def _watch_threads(self) -> None:
        """Threads that Python starts from now on are watched."""
        if threading := sys.modules.get("threading"):
            threading.setprofile(self._profile)

    def _called(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self._note(frame.f_code)

    def _started(self, code: CodeType, _: int) -> Any:
        self._note(code)
        return sys.monitoring.DISABLE  # type: ignore[attr-defined]

    def _note(self, code: CodeType) -> None:
        # The body of a module that is imported now says nothing of its use.
        if code.co_name != "<module>":
            self.executed.add(code.co_filename)

    def write(self) -> None:
        """The report, once the worker ends."""
        end = self.scales.read()
        import json

        report = {
            "before": self.before[0],
            "after": self.after[0],
            "end": end[0],
            "import_seconds": (self.after[1] - self.before[1]) / 1e9,
            "watched_by": self._watched_by,
            "modules": [self._described(one) for one in self.imports],
        }
        with open(self.report, "w", encoding="utf-8") as file:
            json.dump(report, file)

    def _described(self, one: Import) -> dict[str, Any]:
        module = sys.modules.get(one.name)
        file = getattr(module, "__file__", None)
        file = file if isinstance(file, str) else None
        return {
            "name": one.name,
            "importer": one.importer,
            "is_late": one.is_late,
            "bytes": one.bytes,
            "seconds": one.nanoseconds / 1e9,
            "file": file,
            "is_there": module is not None,
            "is_used": self._is_used(one.name, file, module),
        }

    def _is_used(self, name: str, file: str | None, module: Any) -> bool | None:
        """None where it cannot be known: extension modules, and modules without a function."""
        if file in self.executed:
            return True
        if not self._watched_by or file is None or not file.endswith(".py"):
            return None
        return False if has_functions(name, module) else None


def has_functions(name: str, module: ModuleType | None) -> bool:
    """Whether there is something to be called that was defined in a module."""
    values = list(vars(module).values()) if isinstance(module, ModuleType) else []
    return any(
        isinstance(value, FunctionType | type) and getattr(value, "__module__", None) == name
        for value in values
    )


def install(report: str) -> Probe:
    """Measures every import from now on."""
    probe = Probe(report)
    _frozen_importlib._find_and_load_unlocked = probe.importing(_frozen_importlib._find_and_load_unlocked)
    # Registered first, it runs last.
    atexit.register(probe.write)
    return probe


def loaded(probe: Probe) -> None:
    """The application is there; what is imported or called from now on is its work."""
    probe.after = probe.scales.read()
    probe.is_loaded = True
    probe.watch()
