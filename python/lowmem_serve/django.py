"""Names for Django's settings: `lowmem_serve.django.Cache`, `lowmem_serve.django.TaskBackend`."""

_PLACES = {"Cache": "lowmem_serve.django_cache", "TaskBackend": "lowmem_serve.django_tasks"}


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)
