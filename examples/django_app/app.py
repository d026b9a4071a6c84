"""Django, small, over ASGI (`app:app`) or WSGI (`app:wsgi`): a guest list with a page, JSON, a form with CSRF, the ORM.

A real project keeps its settings in a module of their own; here they stand where they can be read at once.
"""

import os
import secrets
import tempfile
from pathlib import Path

from django.conf import settings

HERE = Path(__file__).parent
DATABASE = os.environ.get("DJANGO_DB", str(Path(tempfile.gettempdir()) / "lowmem-serve-django.sqlite3"))

settings.configure(
    # Sessions and CSRF tokens end with the process, unless the key is given.
    SECRET_KEY=os.environ.get("DJANGO_SECRET_KEY", secrets.token_urlsafe(50)),
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="urls",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    INSTALLED_APPS=["guests"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [str(HERE / "templates")]}
    ],
    USE_TZ=True,
)

from django.core.asgi import get_asgi_application  # noqa: E402 (needs the settings)
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

app = get_asgi_application()
wsgi = get_wsgi_application()
call_command("migrate", run_syncdb=True, verbosity=0)
