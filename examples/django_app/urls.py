from django.urls import path
from guests import views

urlpatterns = [
    path("", views.page),
    path("guests", views.add),
    path("guests.json", views.as_json),
]
