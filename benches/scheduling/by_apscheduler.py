"""APScheduler, in a process of its own."""

import signal

from apscheduler.schedulers.blocking import BlockingScheduler

from scheduling import indexing, work

scheduler = BlockingScheduler()
scheduler.add_job(work.mark, "interval", hours=1)


def now(*_: object) -> None:
    """It has no way to be asked from outside: a signal stands for it."""
    scheduler.add_job(indexing.reindex, args=[1])


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, now)
    scheduler.start()
