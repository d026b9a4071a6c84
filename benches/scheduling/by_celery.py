"""Celery: a worker, and beat for the schedule."""

import os

from celery import Celery

from scheduling import indexing, work

celery = Celery("by_celery", broker=os.environ["BROKER"])
celery.conf.broker_transport_options = {
    "data_folder_in": os.environ["FOLDER"],
    "data_folder_out": os.environ["FOLDER"],
}
celery.conf.task_ignore_result = True
celery.conf.beat_schedule = {"hourly": {"task": "mark", "schedule": 3600.0}}


@celery.task(name="mark")
def mark(number: int = 0) -> None:
    work.mark(number)


@celery.task(name="reindex")
def reindex(number: int = 0) -> None:
    indexing.reindex(number)
