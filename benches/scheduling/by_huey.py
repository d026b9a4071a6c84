"""huey, with its queue in SQLite."""

import os

from huey import SqliteHuey, crontab

from scheduling import indexing, work

huey = SqliteHuey(filename=os.path.join(os.environ["FOLDER"], "huey.db"))


@huey.task()
def mark(number: int = 0) -> None:
    work.mark(number)


@huey.task()
def reindex(number: int = 0) -> None:
    indexing.reindex(number)


@huey.periodic_task(crontab(minute="0"))
def hourly() -> None:
    work.mark()
