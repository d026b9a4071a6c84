"""Command lines of public projects that run Uvicorn, with lowmem-serve in Uvicorn's place.

Each is as it stands in its repository, but for the name and the port; the applications have the
shape that the command line expects: module, attribute, factory, framework, logging configuration.
docs/uvicorn.md lists them.
"""

import shlex
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FASTAPI = """
    from fastapi import FastAPI, Request

    app = FastAPI()

    @app.get("/")
    async def home(request: Request):
        return {"client": request.client.host, "scheme": request.url.scheme}

    def create_app():
        return app
"""

STARLETTE = """
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def homepage(request):
        return JSONResponse({"client": request.client.host, "scheme": request.url.scheme})

    app = Starlette(debug=True, routes=[Route("/", homepage)])
"""

QUART = """
    from quart import Quart, request

    app = Quart(__name__)

    @app.route("/")
    async def home():
        return {"client": request.remote_addr, "scheme": request.scheme}
"""

DJANGO = """
    import os

    from django.core.asgi import get_asgi_application

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings")
    application = get_asgi_application()
"""

DJANGO_SETTINGS = """
    SECRET_KEY = "not secret"
    ALLOWED_HOSTS = ["*"]
    ROOT_URLCONF = "myproject.urls"
"""

DJANGO_URLS = """
    from django.http import JsonResponse
    from django.urls import path

    def home(request):
        return JsonResponse({"client": request.META["REMOTE_ADDR"], "scheme": request.scheme})

    urlpatterns = [path("", home)]
"""

# Chroma's logging configuration, shortened: the same formatters, handlers and loggers.
CHROMA_LOGGING = """
    version: 1
    disable_existing_loggers: False
    formatters:
      default:
        "()": uvicorn.logging.DefaultFormatter
        format: '%(levelprefix)s [%(asctime)s] %(message)s'
        use_colors: null
      access:
        "()": uvicorn.logging.AccessFormatter
        format: '%(levelprefix)s [%(asctime)s] %(client_addr)s - "%(request_line)s" %(status_code)s'
    handlers:
      console:
        class: logging.StreamHandler
        stream: ext://sys.stdout
        formatter: default
      access:
        class: logging.StreamHandler
        stream: ext://sys.stdout
        formatter: access
    loggers:
      uvicorn:
        level: INFO
        handlers: [console]
      uvicorn.access:
        level: INFO
        handlers: [access]
        propagate: no
"""


@dataclass(frozen=True)
class Project:
    source: str
    command: str
    files: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)
    """Whom it believes: what a client that says it is 203.0.113.9 is taken for."""
    client: str = "203.0.113.9"


PROJECTS = [
    Project(
        "Kludex/uvicorn docs/deployment/docker.md",
        "uvicorn main:app --host 0.0.0.0 --port 8000",
        {"main.py": FASTAPI},
        {"UVICORN_RELOAD": "true"},
    ),
    Project(
        "fastapi/fastapi docs (deployment/docker, until `fastapi run`)",
        "uvicorn app.main:app --host 0.0.0.0 --port 80 --proxy-headers",
        {"app/__init__.py": "", "app/main.py": FASTAPI},
    ),
    Project("encode/starlette docs/index.md", "uvicorn example:app", {"example.py": STARLETTE}),
    Project(
        "django/django docs/howto/deployment/asgi/uvicorn.txt",
        "python -m uvicorn myproject.asgi:application",
        {
            "myproject/__init__.py": "",
            "myproject/asgi.py": DJANGO,
            "myproject/settings.py": DJANGO_SETTINGS,
            "myproject/urls.py": DJANGO_URLS,
        },
    ),
    Project(
        "pallets/quart docs/tutorials/deployment.rst",
        "uvicorn example:app",
        {"example.py": QUART},
    ),
    Project(
        "open-webui/open-webui backend/start.sh",
        "uvicorn open_webui.main:app --host 0.0.0.0 --port 8080 --forwarded-allow-ips '*' --workers 2"
        " --log-level debug",
        {"open_webui/__init__.py": "", "open_webui/main.py": FASTAPI},
    ),
    Project(
        "chroma-core/chroma bin/docker_entrypoint.sh",
        "uvicorn chromadb.app:app --workers 1 --host 0.0.0.0 --port 8000 --proxy-headers"
        " --log-config chromadb/log_config.yml --timeout-keep-alive 30",
        {
            "chromadb/__init__.py": "",
            "chromadb/app.py": FASTAPI,
            "chromadb/log_config.yml": CHROMA_LOGGING,
        },
    ),
    Project(
        "onyx-dot-app/onyx deployment/docker_compose/docker-compose.yml",
        "uvicorn onyx.main:app --host 0.0.0.0 --port 8080",
        {"onyx/__init__.py": "", "onyx/main.py": FASTAPI},
    ),
    Project(
        "mem0ai/mem0 server/docker-compose.yaml",
        "uvicorn main:app --host 0.0.0.0 --port 8000 --reload",
        {"main.py": FASTAPI},
    ),
    Project(
        "argilla-io/argilla argilla-server/docker/server/scripts/start_argilla_server.sh",
        'python -m uvicorn argilla_server:app --host "0.0.0.0"',
        {"argilla_server/__init__.py": FASTAPI},
        {"UVICORN_PORT": "0"},
    ),
    Project(
        "c0sogi/LLMChat dockerfile",
        "uvicorn main:app --host 0.0.0.0 --port 8000 --proxy-headers --forwarded-allow-ips 172.16.0.10"
        " --reload",
        {"main.py": FASTAPI},
        client="127.0.0.1",
    ),
    Project(
        "LuckySting/ARBserver Dockerfile",
        "uvicorn --factory app.app:create_app --workers 1 --host 0.0.0.0 --port 8000",
        {"app/__init__.py": "", "app/app.py": FASTAPI},
    ),
]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.source.split()[0])
def test_it_serves_in_uvicorns_place(server, tmp_path: Path, project: Project) -> None:
    for name, text in project.files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    words = shlex.split(project.command.removeprefix("python -m ").removeprefix("uvicorn "))
    if "--port" in words:
        # The ports of ten projects may be taken here.
        words[words.index("--port") + 1] = "0"
    started = server(*words, cwd=tmp_path, env=project.env)
    seen = started.get("/", {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}).json()
    assert seen["client"] == project.client
    assert seen["scheme"] == ("https" if project.client == "203.0.113.9" else "http")
    started.stdout.wait_for_line('"GET / HTTP/1.1" 200')
    assert started.terminate() == 0
