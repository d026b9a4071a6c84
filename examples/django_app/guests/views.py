from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from guests.models import Guest


@require_GET
async def page(request: HttpRequest) -> HttpResponse:
    return render(request, "guests.html", {"guests": [guest async for guest in Guest.objects.all()]})


@require_POST
async def add(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("name", "").strip()
    if not name:
        return HttpResponseBadRequest("a guest has a name")
    await Guest.objects.acreate(name=name)
    return redirect("/")


@require_GET
def as_json(request: HttpRequest) -> HttpResponse:
    """A synchronous view: Django runs it in a thread."""
    return JsonResponse({"guests": list(Guest.objects.values_list("name", flat=True))})
