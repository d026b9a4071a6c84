"""Three heavy packages at the top, used on one route."""

import io

import boto3
import matplotlib.pyplot as plt
import pandas as pd


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/use":
        frame = pd.DataFrame({"x": [1, 2, 3]})
        figure, axes = plt.subplots()
        axes.plot(frame["x"])
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        plt.close(figure)
        client = boto3.client(
            "s3", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        body = f"{int(frame.x.sum())} {picture.getvalue()[1:4].decode()} {client.meta.service_model.service_name}"
    else:
        body = "idle"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
