"""Django's tasks."""

from django.tasks import task


@task
def add(a, b):
    return a + b


@task
async def add_later(a, b):
    return a + b


@task(takes_context=True)
def attempt(context):
    return context.attempt


@task
def fail():
    raise ValueError("on purpose")
