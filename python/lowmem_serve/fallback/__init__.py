"""`lowmem-serve` where the server does not run: Uvicorn serves in its place, with the flags translated.

The server is for Linux. On a laptop with another system the same requirements and the same command line then serve the
same application, and one line says by what.
"""

import os
import platform
import shlex
import socket
import sys
from pathlib import Path
from typing import NoReturn

from lowmem_serve.fallback.flags import FLAGS, Refused, Words
from lowmem_serve.fallback.settings import Settings, gather

WRONG_USAGE = 2
COULD_NOT_START = 3

HELP = """Usage: lowmem-serve [OPTIONS] APP

lowmem-serve runs on Linux. On this system Uvicorn serves in its place, with the flags translated:

  {same}

Without effect:

  {unused}
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Serves; ends with the server's exit code."""
    try:
        settings = gather(sys.argv[1:] if arguments is None else arguments, os.environ, Path.cwd())
        if settings.wants == "server":
            serve(settings)
        print(help_text() if settings.wants == "help" else version())
    except Refused as error:
        tell(f"error: {error}")
        sys.exit(WRONG_USAGE)
    sys.exit(0)


def serve(settings: Settings) -> NoReturn:
    """Becomes Uvicorn."""
    if settings.app is None:
        raise Refused("which application? lowmem-serve module:attribute")
    command = uvicorns()
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    words, unused = translated(settings.values, known)
    words = [settings.app, *words]
    tell(
        f"on {platform.system()} {version_of_uvicorn()} serves in its place: uvicorn {shlex.join(shown(words))}"
    )
    if unused:
        tell(f"without effect under Uvicorn: {', '.join(unused)}")
    tell_when_ready(settings)
    command.main(words, prog_name="lowmem-serve")
    sys.exit(0)


def translated(values: dict[str, list[str]], known: set[str]) -> tuple[Words, list[str]]:
    """Uvicorn's words for the flags, and the flags that come to nothing there."""
    words: Words = []
    unused: list[str] = []
    if len(values.get("bind", [])) > 1:
        raise Refused("--bind: Uvicorn listens at one place")
    for name, each in values.items():
        translate = FLAGS[name].translate
        pieces = [translate(value) for value in each] if translate else [[] for _ in each]
        is_missing = any(piece and piece[0] not in known for piece in pieces)
        is_nothing = not any(pieces) and any(value not in ("false", "off") for value in each)
        if is_missing or is_nothing:
            unused.append(f"--{name}")
        else:
            words += [word for piece in pieces for word in piece]
    return words, unused


def shown(words: Words) -> Words:
    """The words without a password."""
    secret = "--ssl-keyfile-password"
    return ["…" if before == secret else word for before, word in zip(["", *words], words, strict=False)]


def uvicorns():
    """Uvicorn's command."""
    try:
        from uvicorn.main import main as command
    except ImportError as error:
        tell(f"error: Uvicorn serves in place of lowmem-serve on this system, and it is not there: {error}")
        tell(f"install it: {sys.executable} -m pip install 'uvicorn[standard]'")
        sys.exit(COULD_NOT_START)
    return command


def tell_when_ready(settings: Settings) -> None:
    """Has Uvicorn report to NOTIFY_SOCKET, by which `lowmem_serve.serve` learns that it serves."""
    path = os.environ.pop("NOTIFY_SOCKET", "")
    if not path:
        return
    if "workers" in settings.values or "reload" in settings.values:
        # Uvicorn's parent of several processes does not know; the socket is bound, and connections wait in its queue.
        notify(path)
        return
    from uvicorn.server import Server

    startup = Server.startup

    async def started(server: Server, *arguments, **keywords) -> None:
        await startup(server, *arguments, **keywords)
        if server.started:
            notify(path)

    Server.startup = started


def notify(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.sendto(b"READY=1", path)


def help_text() -> str:
    import textwrap

    def listed(names: list[str]) -> str:
        return textwrap.fill(
            " ".join(f"--{name}" for name in names), 98, subsequent_indent="  ", break_on_hyphens=False
        )

    names = sorted(FLAGS)
    return HELP.format(
        same=listed([name for name in names if FLAGS[name].translate]),
        unused=listed([name for name in names if not FLAGS[name].translate]),
    )


def version() -> str:
    from lowmem_serve import __version__

    return f"lowmem-serve {__version__} (on {platform.system()}: {version_of_uvicorn()})"


def version_of_uvicorn() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        return f"Uvicorn {version_of('uvicorn')}"
    except PackageNotFoundError:
        return "Uvicorn"


def tell(line: str) -> None:
    print(f"lowmem-serve: {line}", file=sys.stderr, flush=True)
