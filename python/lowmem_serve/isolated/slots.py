"""How many calls run at once: the others wait in the order in which they came, whether they are asynchronous or not."""

import threading
from collections import deque
from collections.abc import Callable


class Slots:
    """A number of places; a waiting call is granted one when it is free."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[Callable[[], bool]] = deque()
        self._lock = threading.Lock()

    def take(self, grant: Callable[[], bool]) -> bool:
        """Takes a place if one is free; otherwise `grant` is called once one is. It says whether it is still wanted."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(grant)
            return False

    def forget(self, grant: Callable[[], bool]) -> None:
        """Waits no more."""
        with self._lock:
            if grant in self._waiting:
                self._waiting.remove(grant)

    def give_back(self) -> None:
        """Gives the place to the first waiting call that still wants it."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                grant = self._waiting.popleft()
            if grant():
                return
