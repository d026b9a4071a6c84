"""Says which modules the worker has imported; it imports none that would bring others."""

import sys


def app(environ, start_response):
    start_response("200 OK", [])
    return [("[" + ", ".join(f'"{name}"' for name in sys.modules) + "]").encode()]
