"""Django: one asynchronous view, no middleware, no database."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for a benchmark")


async def hello(request: HttpRequest) -> HttpResponse:
    """Return what the bare application returns."""
    return HttpResponse("Hello, world!", content_type="text/plain")


urlpatterns = [path("", hello)]
app = get_asgi_application()
