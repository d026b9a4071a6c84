"""The settings of `run` and `serve`: keywords, named as the flags are or as `uvicorn.run` names them."""

import logging
import os

PLURALS = {
    "reload_dirs": "--reload-dir",
    "reload_includes": "--reload-include",
    "reload_excludes": "--reload-exclude",
    "headers": "--header",
    "binds": "--bind",
    "jobs": "--job",
}
"""Keywords of several values, and the flag that is repeated for each."""

NEGATED = frozenset(
    ("access_log", "date_header", "gc_freeze", "proxy_headers", "server_header", "use_colors"),
)
"""Flags that are on by default, and have a `--no-…`."""


VALUED = frozenset(("ws_per_message_deflate",))
"""Flags that are typed with true or false."""


def command_line(app: object, settings: dict[str, object]) -> tuple[list[str], dict[str, str]]:
    """The arguments of the command, and the variables that say what no argument can.

    Raises TypeError for an application that is no text, and for a value that no flag can carry.
    """
    arguments: list[str] = [application(app)]
    variables: dict[str, str] = {}
    for name, value in settings.items():
        if value is None:
            continue
        if value is False and name not in NEGATED | VALUED:
            # A flag that is off by default has no way to be typed as off; its variable has.
            variables[f"LOWMEM_{name.upper()}"] = "false"
        else:
            arguments += words(name, value)
    return arguments, variables


def application(app: object) -> str:
    """The application's name."""
    if isinstance(app, str):
        return app
    raise TypeError(
        f"lowmem_serve serves an application by its name, as its processes import it themselves: write "
        f"{meant(app)!r} instead of the {type(app).__name__} object"
    )


def meant(app: object) -> str:
    """The name under which a loaded module has the object, as far as that can be seen."""
    import sys

    # Any number may be the value of some constant.
    if not callable(app):
        return "main:app"
    for module_name, module in list(sys.modules.items()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is app and not name.startswith("_"):
                return f"{importable(module_name, module)}:{name}"
    return "main:app"


def importable(name: str, module: object) -> str:
    """The name by which another process imports a module: the script's own is its file's."""
    if name != "__main__":
        return name
    spec = getattr(module, "__spec__", None)
    if spec is not None:
        return spec.name.removesuffix(".__main__")
    file = getattr(module, "__file__", None)
    return os.path.splitext(os.path.basename(file))[0] if file else "main"


def words(name: str, value: object) -> list[str]:
    """The words of the command line for one setting."""
    flag = f"--{name.replace('_', '-')}"
    if name in VALUED:
        return [f"{flag}={str(value).lower()}"]
    if value is True:
        return [flag]
    if value is False:
        return [f"--no-{flag[2:]}"]
    if name in PLURALS:
        values = [value] if isinstance(value, str | os.PathLike) else value
        return [word for each in values for word in (PLURALS[name], text(name, each))]  # type: ignore[union-attr]
    return [f"{flag}={text(name, value)}"]


def text(name: str, value: object) -> str:
    """A value as it is typed."""
    if name == "log_level" and isinstance(value, int):
        return logging.getLevelName(value).lower()
    if name == "headers" and isinstance(value, tuple):
        return ":".join(value)
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if isinstance(value, int):
        # An enumeration's members, such as ssl.CERT_REQUIRED, are told by their number.
        return str(int(value))
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    hint = "; write it to a JSON file, and pass the file's path" if isinstance(value, dict) else ""
    raise TypeError(f"{name}={value!r}: a {type(value).__name__} cannot be passed to the server{hint}")
