"""A WSGI application whose views may all wait."""

import time


def waiting_view():
    time.sleep(60)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        waiting_view()
    start_response("200 OK", [("content-length", "4")])
    return [b"here"]
