from django.db import models


class Guest(models.Model):
    name = models.CharField(max_length=100)
    came_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("came_at",)
