"""Coming from another server: its flags as they are typed, `migrate`, `run` and `dev`."""

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import APPS, Server, run
from harness.journal import until
from harness.peer_options import PEERS


@dataclass(frozen=True)
class Line:
    theirs: str
    ours: str | None
    """What `migrate` prints; none where the command line cannot be moved."""
    missing: tuple[str, ...] = ()
    """What has no counterpart, by the beginning of its line."""


LINES = [
    Line("uvicorn main:app --host 0.0.0.0 --port 80", "lowmem-serve main:app --host 0.0.0.0 --port 80"),
    Line("python -m uvicorn main:app --reload", "python -m lowmem_serve main:app --reload"),
    Line("gunicorn main:app", "lowmem-serve main:app"),
    Line("gunicorn -w 4 -b 0.0.0.0:8000 main:app", "lowmem-serve main:app --workers 4 --bind 0.0.0.0:8000"),
    Line(
        "gunicorn -w 4 -k uvicorn.workers.UvicornWorker main:app --timeout 60",
        "lowmem-serve main:app --workers 4",
        ("--timeout 60",),
    ),
    Line("gunicorn 'main:create_app()'", "lowmem-serve main:create_app --factory"),
    Line(
        "gunicorn --bind unix:/run/site.sock --umask 007 main:app",
        "lowmem-serve main:app --bind unix:/run/site.sock --uds-mode 660",
    ),
    Line(
        "gunicorn mysite.wsgi --preload --max-requests 1000 --max-requests-jitter 50",
        "lowmem-serve mysite.wsgi:application --preload --max-requests 1000 --max-requests-jitter 50",
    ),
    Line(
        "gunicorn -c gunicorn.conf.py main:app",
        "lowmem-serve main:app --bind 127.0.0.1:9000 --workers 3 --timeout-keep-alive 30",
        ("timeout", "on_starting"),
    ),
    Line(
        "exec gunicorn --bind :$PORT --workers 1 --threads 8 --timeout 0 main:app",
        'exec lowmem-serve main:app --bind ":$PORT" --workers 1 --wsgi-threads 8',
        ("--timeout 0",),
    ),
    Line(
        "gunicorn --worker-tmp-dir /dev/shm --access-logfile - --error-logfile - --log-level WARN main:app",
        "lowmem-serve main:app --access-log --log-level warning",
    ),
    Line("gunicorn -k gevent -w 2 main:app", "lowmem-serve main:app --workers 2", ("-k gevent",)),
    Line(
        "gunicorn -b :443 --certfile site.pem --keyfile site.key --graceful-timeout 5 main:app",
        "lowmem-serve main:app --bind :443 --ssl-certfile site.pem --ssl-keyfile site.key"
        " --timeout-graceful-shutdown 5",
    ),
    Line(
        "gunicorn -D -p /run/site.pid -u www main:app", "lowmem-serve main:app", ("-D", "-p /run", "-u www")
    ),
    Line("gunicorn 'main:create_app(\"test\")'", None, ("main:create_app",)),
    Line(
        "hypercorn main:app --bind 0.0.0.0:8000 -w 2", "lowmem-serve main:app --bind 0.0.0.0:8000 --workers 2"
    ),
    Line(
        "hypercorn -c hypercorn.toml main:app",
        "lowmem-serve main:app --bind 127.0.0.1:9001 --timeout-keep-alive 15 --workers 2",
    ),
    Line("hypercorn wsgi:main:app", "lowmem-serve main:app --interface wsgi"),
    Line("hypercorn --quic-bind :443 main:app", "lowmem-serve main:app", ("--quic-bind",)),
    Line(
        "daphne -b 0.0.0.0 -p 8001 mysite.asgi:application",
        "lowmem-serve mysite.asgi:application --host 0.0.0.0 --port 8001",
    ),
    Line(
        "daphne -u /run/site.sock --proxy-headers mysite.asgi:application",
        "lowmem-serve mysite.asgi:application --uds /run/site.sock --proxy-headers",
    ),
    Line(
        "daphne -e ssl:443:privateKey=site.key:certKey=site.pem main:app",
        "lowmem-serve main:app --bind :443 --ssl-keyfile site.key --ssl-certfile site.pem",
    ),
    Line(
        "granian --interface asgi main:app --host 0.0.0.0 --workers 2",
        "lowmem-serve main:app --interface asgi3 --host 0.0.0.0 --workers 2",
    ),
    Line(
        "granian --interface asginl --workers-lifetime 3600 --workers-max-rss 512 main:app",
        "lowmem-serve main:app --interface asgi3 --lifespan off --ttl 3600s --max-rss 512M",
    ),
    Line("granian --interface rsgi main:app", None, ("--interface rsgi",)),
    Line(
        "uwsgi --http :8000 --wsgi-file main.py --callable app --master --processes 4 --threads 2",
        "lowmem-serve main:app --bind :8000 --workers 4 --wsgi-threads 2",
    ),
    Line(
        "uwsgi --ini uwsgi.ini",
        "lowmem-serve main:app --bind 127.0.0.1:9002 --workers 2 --max-rss 256M",
        ("harakiri",),
    ),
    Line(
        "uwsgi --socket /run/site.sock --chmod-socket=660 -w main:app",
        "lowmem-serve main:app --bind unix:/run/site.sock --uds-mode 660",
    ),
    Line("fastapi run main.py --port 80 --workers 4", "lowmem-serve run main.py --port 80 --workers 4"),
    Line("flask --app main run -h 0.0.0.0 -p 80", "lowmem-serve run main --host 0.0.0.0 --port 80"),
    Line(
        "waitress-serve --port=8041 --call main:create_app",
        "lowmem-serve main:create_app --port 8041 --factory --host 0.0.0.0",
    ),
]

FILES = {
    "gunicorn.conf.py": """
        import os

        bind = "127.0.0.1:9000"
        workers = int(os.environ.get("NOT_SET", 1)) * 2 + 1
        timeout = 120
        keepalive = 30

        def on_starting(server):
            print("starting")
        """,
    "hypercorn.toml": """
        bind = ["127.0.0.1:9001"]
        workers = 2
        keep_alive_timeout = 15
        """,
    "uwsgi.ini": """
        [uwsgi]
        ; a comment
        http = 127.0.0.1:9002
        module = main:app
        master = true
        processes = 2
        harakiri = 30
        reload-on-rss = 256
        """,
    "main.py": """
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"moved"})

        def create_app():
            return app
        """,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(textwrap.dedent(text).lstrip())
    return tmp_path


def missing(stderr: str) -> list[str]:
    """The lines below the heading of what has no counterpart."""
    _, _, rest = stderr.partition("# has no counterpart:\n")
    return re.findall(r"^#   (.*)$", rest.split("\n# is ")[0], re.MULTILINE)


def test_there_are_as_many_as_were_tried() -> None:
    assert len(LINES) == 31
    assert sum(line.ours is not None and not line.missing for line in LINES) >= 22
    assert sum(line.ours is not None for line in LINES) >= 27


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.theirs)
def test_a_command_line_is_moved(place: Path, line: Line) -> None:
    ended = run("migrate", line.theirs, cwd=place)
    assert ended.returncode == 0, ended.stderr
    told = missing(ended.stderr)
    assert len(told) == len(line.missing) and all(map(str.startswith, told, line.missing)), ended.stderr
    if line.ours is None:
        return
    assert ended.stdout == line.ours + "\n"
    words = shlex.split(line.ours)
    arguments = words[words.index("lowmem-serve") + 1 :] if "lowmem-serve" in words else words[3:]
    if "$PORT" not in line.ours and not {"--ssl-certfile"} & set(arguments):
        checked = run(
            "config",
            *[word for word in arguments if word != "run"],
            env={"LOWMEM_APP": "main:app"},
            cwd=place,
        )
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    "theirs",
    [
        "gunicorn --name shop main:app",
        "gunicorn -n shop main:app",
        "granian --interface asgi --process-name shop main:app",
        "uwsgi --procname-prefix shop --http :80 --module main:app",
    ],
)
def test_the_name_of_processes_is_moved(place: Path, theirs: str) -> None:
    ended = run("migrate", theirs, cwd=place)
    assert "--process-name shop" in ended.stdout and not missing(ended.stderr), ended.stderr


def test_the_name_of_processes_in_a_file_is_moved(place: Path) -> None:
    (place / "gunicorn.conf.py").write_text("proc_name = 'shop'\n")
    assert "--process-name shop" in run("migrate", "gunicorn.conf.py", cwd=place).stdout


def test_placeholders_of_uwsgi_are_filled_in(place: Path) -> None:
    (place / "site.ini").write_text(
        textwrap.dedent(
            """
            [uwsgi]
            project = main
            base = /srv/sites
            chdir = %(base)/%(project)
            module = %(project):app
            socket = /run/%(project).sock
            home = $(VENV)
            processes = 2
            lazy-apps = true
            harakiri = 30
            http-websockets = true
            """
        )
    )
    ended = run("migrate", "site.ini", cwd=place)
    assert ended.stdout == (
        "lowmem-serve main:app --app-dir /srv/sites/main --bind unix:/run/main.sock --workers 2\n"
    )
    told = missing(ended.stderr)
    assert [line.split(" = ")[0] for line in told] == ["home", "harakiri"] and "--timeout-request" in told[1]
    assert "--preload" not in ended.stderr, "each worker has imported the application by itself there, too"


@pytest.mark.parametrize(
    ("named", "told"), [("gunicorn.py", "gunicorn.py is no file here"), (".", ". is a directory")]
)
def test_a_file_that_is_not_there_is_told(place: Path, named: str, told: str) -> None:
    ended = run("migrate", named, cwd=place)
    assert (ended.returncode, ended.stdout) == (2, "") and told in ended.stderr


@pytest.mark.parametrize(
    "theirs",
    [
        "gunicorn -w 1 -k uvicorn.workers.UvicornWorker main:app --timeout 60",
        "gunicorn 'main:create_app()'",
        "granian --interface asgi main:app",
        "uwsgi --module main --callable app",
        "waitress-serve --call main:create_app",
    ],
)
def test_what_is_printed_serves(place: Path, server, theirs: str) -> None:
    words = shlex.split(run("migrate", theirs, cwd=place).stdout)[1:]
    flags = [word for word in words[1:] if word not in ("--host", "0.0.0.0", "--port", "8080")]
    started: Server = server(words[0], *flags, cwd=place)
    assert started.get("/").body == b"moved"


@pytest.mark.parametrize("program", PEERS)
def test_every_option_of_a_server_is_known(place: Path, program: str) -> None:
    ended = run(
        "migrate", f"{program} main:app " + " ".join(f"{flag}=1" for flag in PEERS[program]), cwd=place
    )
    assert ended.returncode == 0
    assert "that is known here" not in ended.stderr


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("gunicorn -k asgi --asgi-loop uvloop --asgi-lifespan off", "--loop uvloop --lifespan off"),
        ("gunicorn --http-protocols h2 --http2-max-concurrent-streams 50", "--http 2 --http2-max-streams 50"),
        ("gunicorn --http-protocols h2,h1 --root-path /x", "--root-path /x"),
        ("gunicorn --websocket-max-message-size 1000", "--ws-max-size 1000"),
        ("daphne -t 20 --websocket-max-message-size 1000", "--timeout-request 20 --ws-max-size 1000"),
        ("granian --interface asgi --no-factory", "--interface asgi3"),
    ],
)
def test_newer_options_are_moved(place: Path, theirs: str, ours: str) -> None:
    ended = run("migrate", f"{theirs} main:app", cwd=place)
    assert ended.stdout == f"lowmem-serve main:app {ours}\n"
    assert not missing(ended.stderr)


def test_flags_of_other_servers_are_taken_with_a_notice(place: Path, server) -> None:
    started: Server = server(
        "main:app",
        "-b",
        "127.0.0.1:0",
        "-w",
        "2",
        "-k",
        "uvicorn.workers.UvicornWorker",
        cwd=place,
        places=False,
    )
    assert started.get("/").body == b"moved"
    started.stderr.wait_for_line(r"WARNING: +-w 2 is gunicorn's; here it is --workers 2")
    started.stderr.wait_for_line(r"-k uvicorn.workers.UvicornWorker is gunicorn's and does nothing here")


def test_those_without_a_counterpart_are_told_in_one_go(place: Path) -> None:
    ended = run("main:app", "-w", "2", "--timeout", "60", "--daemon", "-c", "gunicorn.conf.py", cwd=place)
    assert ended.returncode == 2
    for typed in ("--timeout 60", "--daemon", "-c gunicorn.conf.py"):
        assert f"\n  {typed}\n" in ended.stderr
    line = re.search(r"lowmem-serve migrate ('.*')", ended.stderr)
    assert line
    assert run("migrate", *shlex.split(line[1]), cwd=place).stdout.startswith("lowmem-serve main:app")


@pytest.mark.parametrize("flag", ["--lifesaver", "--initial"])
def test_a_suggestion_that_is_not_near_is_none(flag: str) -> None:
    ended = run("hello:app", flag)
    assert ended.returncode == 2
    assert flag in ended.stderr and "similar" not in ended.stderr


def test_gunicorns_variable_is_noticed(server) -> None:
    started: Server = server("hello:app", env={"GUNICORN_CMD_ARGS": "--workers 4"})
    started.stderr.wait_for_line(r"GUNICORN_CMD_ARGS \(--workers 4\) is not read; lowmem-serve migrate")


@pytest.mark.parametrize(
    ("name", "text", "printed"),
    [
        ("Procfile", "web: gunicorn main:app\nworker: celery -A x worker\n", "lowmem-serve main:app\n"),
        (
            "Dockerfile",
            'FROM x\nCMD ["gunicorn", "-w", "2", "main:app"]\n',
            "lowmem-serve main:app --workers 2\n",
        ),
        ("Dockerfile.web", "CMD gunicorn -b :$PORT main:app\n", 'lowmem-serve main:app --bind ":$PORT"\n'),
        (
            "site.service",
            "[Service]\nExecStart=/srv/venv/bin/gunicorn -b unix:/run/a.sock main:app\n",
            "/srv/venv/bin/lowmem-serve main:app --bind unix:/run/a.sock\n",
        ),
        ("compose.yaml", "services:\n  a:\n    command: hypercorn main:app\n", "lowmem-serve main:app\n"),
        ("supervisord.conf", "[program:web]\ncommand=daphne main:app\n", "lowmem-serve main:app\n"),
        (
            "start.sh",
            "#!/bin/sh\nset -e\nexec uvicorn main:app --port 80\n",
            "exec lowmem-serve main:app --port 80\n",
        ),
        ("hypercorn.toml", FILES["hypercorn.toml"], None),
        ("uwsgi.ini", textwrap.dedent(FILES["uwsgi.ini"]), None),
        ("gunicorn.conf.py", textwrap.dedent(FILES["gunicorn.conf.py"]), None),
    ],
)
def test_files_are_read(place: Path, name: str, text: str, printed: str | None) -> None:
    (place / name).write_text(textwrap.dedent(text))
    ended = run("migrate", name, cwd=place)
    assert ended.returncode == 0, ended.stderr
    if printed is None:
        assert "--bind 127.0.0.1:900" in ended.stdout and "--workers" in ended.stdout
    else:
        assert ended.stdout == printed


def test_a_configuration_that_is_a_program_tells_what_it_computes(place: Path) -> None:
    ended = run("migrate", "gunicorn.conf.py", cwd=place)
    assert "workers: it is computed, and came to 3: int(os.environ.get('NOT_SET', 1)) * 2 + 1" in ended.stderr
    assert "on_starting: a function that the server calls" in ended.stderr
    (place / "gunicorn.conf.py").write_text("raise RuntimeError('no luck')")
    ended = run("migrate", "gunicorn.conf.py", cwd=place)
    assert ended.returncode == 2
    assert "gunicorn.conf.py cannot be run: RuntimeError: no luck" in ended.stderr


def test_settings_are_written_as_a_file_that_is_read_again(place: Path) -> None:
    ended = run("migrate", "--settings", "gunicorn -w 2 -b 127.0.0.1:9 --header-map x main:app", cwd=place)
    assert ended.stdout == 'app = "main:app"\nbind = ["127.0.0.1:9"]\nworkers = 2\n'
    (place / "lowmem-serve.toml").write_text(ended.stdout)
    checked = run("config", cwd=place)
    assert re.search(r"^workers = 2 .*lowmem-serve.toml:3$", checked.stdout, re.MULTILINE)
    ended = run("main:app", "--config", "gunicorn.conf.py", cwd=place)
    assert "lowmem-serve migrate --settings gunicorn.conf.py writes one" in ended.stderr


def test_what_is_no_server_is_told(place: Path) -> None:
    for what in ("celery -A x worker", "gunicorn 'a"):
        ended = run("migrate", what, cwd=place)
        assert ended.returncode == 2
        assert ended.stderr.startswith("error: ") and not ended.stdout


# --- run and dev


def test_run_serves_a_file_on_every_interface(place: Path, server) -> None:
    started: Server = server("run", "main.py", "--port", "0", cwd=place)
    assert started.get("/").body == b"moved"
    assert "running on http://0.0.0.0:" in started.stderr.text


def test_run_finds_the_application(place: Path, server) -> None:
    (place / "main.py").unlink()
    (place / "app.py").write_text(textwrap.dedent(FILES["main.py"]).replace("def create_app", "def other"))
    started: Server = server("run", "--port", "0", cwd=place)
    assert started.get("/").body == b"moved"
    started.stderr.wait_for_line(r"Serving app:app, which was found here")


def test_dev_reloads(place: Path, server) -> None:
    started: Server = server("dev", "main.py", "--port", "0", cwd=place)
    assert "running on http://127.0.0.1:" in started.stderr.text
    (place / "main.py").write_text(textwrap.dedent(FILES["main.py"]).replace("moved", "anew"))
    started.stderr.wait_for_line(r"Reloaded in", 40)
    # The old worker is told to end at that moment.
    until(lambda: started.get("/").body == b"anew")


def test_a_path_is_served_without_run(place: Path, server) -> None:
    assert server("main.py", cwd=place).get("/").body == b"moved"


def test_the_port_of_a_platform_is_taken_on_every_interface(server) -> None:
    started: Server = server("hello:app", env={"PORT": "0"}, places=False)
    assert "running on http://0.0.0.0:" in started.stderr.text
    started = server("hello:app", "--bind", "127.0.0.1:0", env={"PORT": "1"}, places=False)
    assert started.stderr.text.count("running on") == 1
    assert "http://127.0.0.1:" in started.stderr.text
    ended = run("config", "hello:app", env={"PORT": "5000", "UVICORN_PORT": "6000"}, cwd=APPS)
    assert re.search(r"^port = 6000 .*\$UVICORN_PORT", ended.stdout, re.MULTILINE)
