"""Enqueues Django's tasks and writes what came of them, as JSON."""

import json
import time
from datetime import UTC, datetime, timedelta

import django

django.setup()

import django_tasks_functions as tasks  # noqa: E402
from django.tasks.exceptions import TaskResultDoesNotExist  # noqa: E402


def ended(result):
    end = time.monotonic() + 60
    while not result.is_finished and time.monotonic() < end:
        time.sleep(0.05)
        result.refresh()
    return result


values = [
    ended(task).return_value
    for task in (tasks.add.enqueue(1, b=2), tasks.add_later.enqueue(1, 3), tasks.attempt.enqueue())
]
failed = ended(tasks.fail.enqueue())
later = tasks.add.using(run_after=datetime.now(UTC) + timedelta(hours=1)).enqueue(1, 2)
try:
    tasks.add.get_result("0" * 20)
    missing = False
except TaskResultDoesNotExist:
    missing = True
print(
    json.dumps(
        {
            "values": values,
            "failed": [failed.status, failed.errors[0].exception_class.__name__, failed.errors[0].traceback],
            "later": tasks.add.get_result(later.id).status,
            "missing": missing,
        }
    )
)
