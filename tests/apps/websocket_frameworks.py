"""The same WebSocket in each framework: it greets with the path's name and shouts back what it hears."""

import os


def starlette():
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    async def shout(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json({"hello": socket.path_params["name"]})
        try:
            while True:
                await socket.send_text((await socket.receive_text()).upper())
        except WebSocketDisconnect as end:
            print("left with", end.code, end.reason, flush=True)

    async def close(socket: WebSocket) -> None:
        await socket.close(code=4403)

    return Starlette(routes=[WebSocketRoute("/shout/{name}", shout), WebSocketRoute("/forbidden", close)])


def fastapi():
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()

    @app.websocket("/shout/{name}")
    async def shout(socket: WebSocket, name: str) -> None:
        await socket.accept()
        await socket.send_json({"hello": name})
        try:
            async for text in socket.iter_text():
                await socket.send_text(text.upper())
        except WebSocketDisconnect:
            raise AssertionError("iter_text() ends by itself") from None
        print("left", flush=True)

    return app


def quart():
    from quart import Quart, abort, websocket

    app = Quart("shout")

    @app.websocket("/shout/<name>")
    async def shout(name: str) -> None:
        await websocket.send_json({"hello": name})
        try:
            while True:
                await websocket.send((await websocket.receive()).upper())
        finally:
            print("left", flush=True)

    @app.websocket("/forbidden")
    async def forbidden() -> None:
        abort(403)

    return app


def litestar():
    from litestar import Litestar, WebSocket, websocket
    from litestar.exceptions import WebSocketDisconnect

    @websocket("/shout/{name:str}")
    async def shout(socket: WebSocket, name: str) -> None:
        await socket.accept()
        await socket.send_json({"hello": name})
        try:
            while True:
                await socket.send_text((await socket.receive_text()).upper())
        except WebSocketDisconnect:
            print("left", flush=True)

    return Litestar(route_handlers=[shout])


def channels():
    import django
    from channels.generic.websocket import AsyncJsonWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.urls import path

    settings.configure(SECRET_KEY="test", ALLOWED_HOSTS=["*"], ROOT_URLCONF="websocket_frameworks")
    django.setup()

    class Shout(AsyncJsonWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await self.send_json({"hello": self.scope["url_route"]["kwargs"]["name"]})

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await self.send(text_data=text_data.upper())

        async def disconnect(self, code: int) -> None:
            print("left with", code, flush=True)

    routes = URLRouter([path("shout/<name>", Shout.as_asgi())])
    return ProtocolTypeRouter({"http": get_asgi_application(), "websocket": routes})


urlpatterns: list[object] = []
if framework := os.environ.get("FRAMEWORK"):
    app = globals()[framework]()
