"""A WSGI application that the standard library's validator watches from both sides."""

from wsgiref.validate import validator


@validator
def app(environ, start_response):
    body = environ["wsgi.input"].read(100)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body) + 3))])
    return [b"ok " + body]
