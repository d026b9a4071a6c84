"""`--log-config`: the worker's log lines become records of Python's logging, on Uvicorn's logger names.

Imported by the worker, only if the flag is given. Files that name the formatters of
`uvicorn.logging` get those of this module, which have the same fields, so that Uvicorn need be
neither installed nor imported.
"""

import configparser
import json
import logging
import logging.config
import sys
from pathlib import Path
from typing import Any

from lowmem_serve.log_formatters import (
    ACCESS_MESSAGE,
    TRACE,
    AccessFormatter,
    ColourizedFormatter,
    DefaultFormatter,
    trace_fields,
)

_FORMATTERS = (DefaultFormatter, AccessFormatter, ColourizedFormatter)


class LogConfigError(Exception):
    """The file cannot be used, for a reason that needs no traceback."""


def configure(path: str, level: int | None, *, access_log: bool) -> None:
    """Configures logging from the file, by its ending as Uvicorn does; a level wins over the file's."""
    logging.addLevelName(TRACE, "TRACE")
    # Not before the file is read: it may disable all loggers that exist.
    _read(path)
    error, access, asgi = (logging.getLogger(f"uvicorn.{name}") for name in ("error", "access", "asgi"))
    if level is not None:
        for logger in (error, access, asgi):
            logger.setLevel(level)
    if not access_log:
        access.handlers = []
        access.propagate = False


def event(level: int, message: str, exception: BaseException | None = None) -> None:
    logging.getLogger("uvicorn.error").log(level, message, exc_info=exception)


def access(
    client: str, method: str, path: str, version: str, status: int, trace: tuple[str, str] | None
) -> None:
    logging.getLogger("uvicorn.access").info(
        ACCESS_MESSAGE, client, method, path, version, status, extra=trace_fields(trace)
    )


def _read(path: str) -> None:
    file = Path(path)
    if file.suffix == ".json":
        logging.config.dictConfig(_with_own_formatters(_read_json(file)))
    elif file.suffix in (".yaml", ".yml"):
        logging.config.dictConfig(_with_own_formatters(_read_yaml(file)))
    else:
        logging.config.fileConfig(_read_ini(file), disable_existing_loggers=False)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise LogConfigError(f"not JSON: {error}") from error


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise LogConfigError(
            f"YAML needs the package PyYAML: {sys.executable} -m pip install PyYAML"
        ) from error
    try:
        return yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise LogConfigError(f"not YAML: {error}") from error


def _read_ini(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    try:
        parser.read_string(file.read_text(), str(file))
    except (configparser.Error, ValueError) as error:
        raise LogConfigError(f"not an INI file: {error}") from error
    for section in parser.sections():
        own = _own_formatter(parser.get(section, "class", raw=True, fallback=None))
        if own is not None:
            parser.set(section, "class", own)
    return parser


def _with_own_formatters(config: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise LogConfigError("not a mapping, as logging.config.dictConfig wants it")
    formatters = config.get("formatters")
    for formatter in formatters.values() if isinstance(formatters, dict) else ():
        for key in ("()", "class"):
            own = _own_formatter(formatter.get(key))
            if own is not None:
                formatter[key] = own
    return config


def _own_formatter(name: object) -> str | None:
    own = (each for each in _FORMATTERS if name == f"uvicorn.logging.{each.__name__}")
    return next((f"{each.__module__}.{each.__name__}" for each in own), None)
