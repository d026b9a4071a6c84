"""Settings of a Django project with tasks."""

SECRET_KEY = "for tests"
USE_TZ = True
TASKS = {"default": {"BACKEND": "lowmem_serve.django.TaskBackend"}}
