"""One application in many shapes; each answers with the name of the interface that it was called through."""

import functools


async def answer(receive, send, name):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": name.encode()})


async def asgi3(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await answer(receive, send, f"asgi {scope['asgi']['version']}")


def asgi2(scope):
    async def instance(receive, send):
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await answer(receive, send, f"asgi {scope['asgi']['version']}")

    return instance


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]


def wsgi_generator(environ, start_response):
    start_response("200 OK", [])
    yield b"wsgi"


def plain_asgi3(scope, receive, send):
    return asgi3(scope, receive, send)


class Asgi3:
    async def __call__(self, scope, receive, send):
        await asgi3(scope, receive, send)


class Wsgi:
    def __call__(self, environ, start_response):
        return wsgi(environ, start_response)


class Methods:
    async def asgi3(self, scope, receive, send):
        await asgi3(scope, receive, send)

    def wsgi(self, environ, start_response):
        return wsgi(environ, start_response)

    @classmethod
    def of_class(cls, environ, start_response):
        return wsgi(environ, start_response)

    @staticmethod
    def of_none(environ, start_response):
        return wsgi(environ, start_response)


class Asgi2Class:
    def __init__(self, scope):
        self.instance = asgi2(scope)

    async def __call__(self, receive, send):
        await self.instance(receive, send)


class Asgi3Class:
    def __init__(self, scope, receive, send):
        self.arguments = scope, receive, send

    def __await__(self):
        return asgi3(*self.arguments).__await__()


class WsgiClass:
    def __init__(self, environ, start_response):
        self.pieces = wsgi(environ, start_response)

    def __iter__(self):
        return iter(self.pieces)


def configured_asgi3(settings, scope, receive, send):
    return asgi3(scope, receive, send)


def configured_wsgi(environ, start_response, settings):
    return wsgi(environ, start_response)


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def logged_async(function):
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)

    return wrapper


def opaque(function):
    def wrapper(*args):
        return function(*args)

    return wrapper


class Proxy:
    """As wrapt's: a callable that only says what it wraps."""

    def __init__(self, wrapped):
        self.__wrapped__ = wrapped

    def __call__(self, *args, **kwargs):
        return self.__wrapped__(*args, **kwargs)


asgi3_object, wsgi_object, methods = Asgi3(), Wsgi(), Methods()
asgi3_method, wsgi_method = methods.asgi3, methods.wsgi
class_method, static_method = Methods.of_class, Methods.of_none
asgi3_partial = functools.partial(configured_asgi3, {})
asgi3_async_partial = functools.partial(asgi3)
wsgi_partial = functools.partial(configured_wsgi, settings={})
wsgi_partial_of_partial = functools.partial(functools.partial(lambda a, b, c, d: wsgi(c, d), 1), 2)
asgi3_wrapped, wsgi_wrapped, asgi2_wrapped = logged(asgi3), logged(wsgi), logged(asgi2)
wsgi_wrapped_twice = logged(logged(wsgi_object.__call__))
asgi3_wrapped_async = logged_async(asgi3)
asgi3_proxy, wsgi_proxy = Proxy(asgi3), Proxy(Proxy(wsgi))
opaque_wsgi, opaque_asgi3 = opaque(wsgi), opaque(asgi3)


def either(first, second, third=None):
    return wsgi(first, second) if third is None else asgi3(first, second, third)


def create_app(settings=None):
    return wsgi


class Slotted:
    """As sentry's ASGI middleware is made."""

    __slots__ = ("__call__",)

    def __init__(self, call):
        self.__call__ = call


class ByProperty:
    @property
    def __call__(self):
        return wsgi


class Static:
    @staticmethod
    async def __call__(scope, receive, send):
        await asgi3(scope, receive, send)


class OfClass:
    @classmethod
    def __call__(cls, environ, start_response):
        return wsgi(environ, start_response)


asgi3_slotted = Slotted(Methods().asgi3)
asgi3_slotted_partial = Slotted(functools.partial(asgi3))
asgi3_slotted_object = Slotted(Asgi3())
asgi3_static_call = Static()
wsgi_slotted = Slotted(wsgi)
wsgi_property = ByProperty()
wsgi_class_call = OfClass()
asgi2_slotted = Slotted(asgi2)
