"""`--log-config`: what the worker says becomes records of Python's logging, on Uvicorn's logger names.

Imported by the worker if the flag is given, and by nobody else. Files that name the formatters of
`uvicorn.logging` get those of this module, which have the same fields, so that Uvicorn need be
neither installed nor imported.
"""

import configparser
import json
import logging
import logging.config
import sys
from copy import copy
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

TRACE = 5

# The names of the arguments are those of `AccessFormatter`.
_ACCESS_MESSAGE = '%s - "%s %s HTTP/%s" %d'

_COLOURS = {TRACE: 34, logging.DEBUG: 36, logging.INFO: 32, logging.WARNING: 33, logging.ERROR: 31}
_CRITICAL_COLOUR = 91
_STATUS_COLOURS = {1: 97, 2: 32, 3: 33, 4: 31, 5: 91}


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


def access(client: str, method: str, path: str, version: str, status: int) -> None:
    logging.getLogger("uvicorn.access").info(_ACCESS_MESSAGE, client, method, path, version, status)


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
    names = ("DefaultFormatter", "AccessFormatter", "ColourizedFormatter")
    return next((f"{__name__}.{own}" for own in names if name == f"uvicorn.logging.{own}"), None)


class ColourizedFormatter(logging.Formatter):
    """Adds `levelprefix`, the level's name, padded, in its colour on a terminal."""

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style)
        self.use_colors = sys.stdout.isatty() if use_colors is None else use_colors

    def painted(self, text: str, colour: int | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.use_colors and colour is not None else text

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        name = record.levelname
        colour = _CRITICAL_COLOUR if record.levelno >= logging.CRITICAL else _COLOURS.get(record.levelno)
        return {"levelprefix": f"{self.painted(name, colour)}:{' ' * (8 - len(name))}"}

    def formatMessage(self, record: logging.LogRecord) -> str:
        shown = copy(record)
        shown.__dict__.update(self.fields(record))
        return super().formatMessage(shown)


class DefaultFormatter(ColourizedFormatter):
    """For `uvicorn.error` and everything else."""


class AccessFormatter(ColourizedFormatter):
    """For `uvicorn.access`: adds `client_addr`, `request_line` and `status_code` with its phrase."""

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        client, method, path, version, status = record.args  # type: ignore[misc]
        status = int(status)  # type: ignore[call-overload]
        line = f"{method} {path} HTTP/{version}"
        phrase = f"{status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else ''}"
        return super().fields(record) | {
            "client_addr": client,
            "request_line": self.painted(line, 1),
            "status_code": self.painted(phrase, _STATUS_COLOURS.get(status // 100)),
        }
