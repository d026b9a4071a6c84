"""The settings of command line, environment and settings file, read as the server itself reads them."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lowmem_serve.fallback.flags import COMMANDS, FLAGS, Refused

NAMES = ("lowmem-serve.toml", "pyproject.toml")
"""The settings files, best first."""

HELP = frozenset(("-h", "--help"))
VERSION = frozenset(("-V", "--version"))

SERVING = {"run": ("host", "0.0.0.0"), "serve": ("host", "0.0.0.0"), "dev": ("reload", "true")}
"""Commands that serve, and what each sets unless something else does."""

PLACES = frozenset(("host", "bind", "uds", "fd"))


@dataclass
class Settings:
    """The application and the flags' values."""

    app: str | None = None
    values: dict[str, list[str]] = field(default_factory=dict)
    """By the flag's name; a switch is `true`."""
    wants: str = "server"
    """`server`, `help` or `version`."""
    config: str | None = None
    command: str | None = None
    """`run`, `serve` or `dev`, which serve with other defaults."""


def gather(arguments: list[str], environment: Mapping[str, str], directory: Path) -> Settings:
    """All that was typed; the command line wins over the environment, that over the file."""
    typed = command_line(arguments)
    if typed.wants != "server":
        return typed
    variables = from_environment(environment)
    file = from_file(typed.config or environment.get("LOWMEM_CONFIG") or None, directory)
    # Uvicorn reads its own variables, which win over the file.
    under = {
        name: value
        for name, value in file.values.items()
        if not environment.get(f"UVICORN_{FLAGS[name].variable}")
    }
    app = typed.app or environment.get("LOWMEM_APP") or environment.get("UVICORN_APP") or file.app
    values = {**under, **variables, **typed.values}
    if typed.command:
        name, value = SERVING[typed.command]
        if not (PLACES if name == "host" else {name}) & values.keys():
            values[name] = [value]
    return Settings(app, values)


def command_line(arguments: list[str]) -> Settings:
    """The settings on the command line."""
    settings = Settings()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            positional(settings, rest)
            break
        if word in HELP | VERSION:
            settings.wants = "help" if word in HELP else "version"
        elif word.startswith("-"):
            option(settings, word, rest)
        else:
            positional(settings, [word])
    return settings


def positional(settings: Settings, words: list[str]) -> None:
    for word in words:
        if settings.app is None and settings.command is None and word in SERVING:
            settings.command = word
            continue
        if settings.app is not None:
            raise Refused(f"{word}: one application is served, and {settings.app} is it")
        if word in COMMANDS:
            raise Refused(f"{word}: this command needs the server itself, which runs on Linux")
        settings.app = word


def option(settings: Settings, word: str, rest: list[str]) -> None:
    """One flag, and its value if that is another word."""
    name, equals, value = word.removeprefix("--").partition("=")
    if word.startswith("--no-") and not equals and name[3:] in FLAGS and FLAGS[name[3:]].kind == "boolean":
        settings.values[name[3:]] = ["false"]
        return
    is_config = name == "config"
    if not word.startswith("--") or (name not in FLAGS and not is_config):
        raise Refused(f"{word.partition('=')[0]}: no such flag")
    if not equals and (is_config or FLAGS[name].kind == "value"):
        if not rest:
            raise Refused(f"--{name}: its value is missing")
        value = rest.pop(0)
    if is_config:
        settings.config = value
    else:
        add(settings.values, name, value if equals or FLAGS[name].kind == "value" else "true")


def add(values: dict[str, list[str]], name: str, value: str) -> None:
    """A repeatable flag keeps all its values, another one the last."""
    before = values.get(name, []) if FLAGS[name].repeatable else []
    values[name] = [*before, value]


def from_environment(environment: Mapping[str, str]) -> dict[str, list[str]]:
    """The variables LOWMEM_…, those that are empty left out."""
    values = {}
    for flag in FLAGS.values():
        # `python -m lowmem_serve` sets that one itself.
        text = environment.get(f"LOWMEM_{flag.variable}", "") if flag.name != "python" else ""
        if text and flag.repeatable:
            values[flag.name] = text.split(os.pathsep) if flag.name == "reload-dir" else text.split()
        elif text:
            values[flag.name] = [text]
    return values


def from_file(named: str | None, directory: Path) -> Settings:
    """The settings file that was named, else the one in the directory, if there is one."""
    for name in [named] if named else NAMES:
        try:
            content = tomllib.loads((directory / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            if named:
                raise Refused(f"--config {named}: there is no such file") from None
            continue
        except (OSError, ValueError) as error:
            if name == "pyproject.toml":
                continue
            raise Refused(f"{name}: {error}") from None
        if Path(name).name == "pyproject.toml":
            content = content.get("tool", {}).get("lowmem-serve", {})
        if content or named:
            return read(name, content)
    return Settings()


def read(file: str, content: dict[str, object]) -> Settings:
    """The settings in a file's table."""
    settings = Settings()
    for key, value in content.items():
        name = key.replace("_", "-")
        if name in ("apps", "include", "defaults"):
            raise Refused(
                f"{file}: several applications need the server itself, which runs on Linux; name one: APP"
            )
        if name == "app":
            settings.app = str(value)
        elif isinstance(value, dict):
            # Tables of jobs and caches, named after flags or in the plural.
            settings.values[name if name in FLAGS else name.removesuffix("s")] = ["true"]
        elif name not in FLAGS:
            raise Refused(f"{file}: no such setting: {key}")
        else:
            for each in value if isinstance(value, list) else [value]:
                add(settings.values, name, str(each).lower() if isinstance(each, bool) else str(each))
    unknown = [name for name in settings.values if name not in FLAGS]
    if unknown:
        raise Refused(f"{file}: no such setting: {', '.join(unknown)}")
    return settings
