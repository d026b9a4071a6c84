"""A function that marks its time, and imports nothing else."""

import os
import time


def mark(number: int = 0) -> int:
    """A line with the time at which the function began."""
    line = f"{number} {time.time()}\n".encode()
    marks = os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(marks, line)
    os.close(marks)
    return number
