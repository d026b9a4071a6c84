"""The queue as a backend of Django's tasks (Django 6); `lowmem_serve.django.TaskBackend` is its name in settings.

    TASKS = {"default": {"BACKEND": "lowmem_serve.django.TaskBackend"}}

A task runs in a process of its own, which sets Django up and imports the task's module; docs/jobs.md has the rest.
"""

import json
import os
from datetime import UTC, datetime

from django.conf import settings
from django.tasks import TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskContext, TaskError
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils.json import normalize_json
from django.utils.module_loading import import_string

from lowmem_serve import jobs

RUNNER = "lowmem_serve.django_tasks:run"


class TaskBackend(BaseTaskBackend):
    """A Django task backend."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True

    def enqueue(self, task, args, kwargs):
        self.validate_task(task)
        told = {
            "settings": os.environ.get("DJANGO_SETTINGS_MODULE") or settings.SETTINGS_MODULE,
            "path": task.module_path,
            "backend": self.alias,
            "args": normalize_json(list(args)),
            "kwargs": normalize_json(kwargs),
            "enqueued": datetime.now(UTC).timestamp(),
        }
        at = task.run_after.timestamp() if task.run_after is not None else None
        id = jobs.put(RUNNER, [told], at=at)
        result = _result(task, told, id, TaskResultStatus.READY)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id):
        place = jobs.directory()
        if not result_id.isalnum():
            raise TaskResultDoesNotExist(result_id)
        try:
            outcome = jobs.peek(result_id)
        except jobs.TaskFailed as error:
            told = _told(os.path.join(place, "dead", f"{result_id}.json"), result_id)
            result = _result(_task(told), told, result_id, TaskResultStatus.FAILED)
            result.errors.append(
                TaskError(exception_class_path=_class_path(error.type), traceback=error.message)
            )
            return result
        if outcome is not None:
            told, value = outcome.value["told"], outcome.value["value"]
            result = _result(_task(told), told, result_id, TaskResultStatus.SUCCESSFUL)
            object.__setattr__(result, "_return_value", value)
            return result
        for name in os.listdir(os.path.join(place, "tasks")):
            _, id, attempts = name.removesuffix(".json").split("-")
            if id == result_id:
                told = _told(os.path.join(place, "tasks", name), result_id)
                has_begun = int(attempts) > 0
                status = TaskResultStatus.RUNNING if has_begun else TaskResultStatus.READY
                return _result(_task(told), told, result_id, status)
        raise TaskResultDoesNotExist(result_id)


def run(told):
    """In the process of a task."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", told["settings"])
    import django

    django.setup()
    task = _task(told)
    context = []
    if task.takes_context:
        result = _result(task, told, os.environ["LOWMEM_SERVE_RUN"], TaskResultStatus.RUNNING)
        result.worker_ids.extend([str(os.getpid())] * int(os.environ["LOWMEM_SERVE_ATTEMPT"]))
        context.append(TaskContext(task_result=result))
    value = task.call(*context, *told["args"], **told["kwargs"])
    return {"told": told, "value": normalize_json(value)}


def _task(told):
    task = import_string(told["path"])
    return task.using(backend=told["backend"])


def _told(file, id):
    try:
        with open(file, encoding="utf-8") as stream:
            return json.load(stream)["args"][0]
    except (FileNotFoundError, IndexError):
        raise TaskResultDoesNotExist(id) from None


def _class_path(name):
    """The dotted path of an exception's class; a process that was killed has raised none."""
    return name if "." in name else f"builtins.{name or 'RuntimeError'}"


def _result(task, told, id, status):
    return TaskResult(
        task=task,
        id=id,
        status=status,
        enqueued_at=datetime.fromtimestamp(told["enqueued"], UTC),
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=told["args"],
        kwargs=told["kwargs"],
        backend=told["backend"],
        errors=[],
        worker_ids=[],
    )
