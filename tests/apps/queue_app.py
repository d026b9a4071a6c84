"""An application that enqueues, and waits for results."""

import json
from urllib.parse import parse_qs

from lowmem_serve import jobs


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    if scope["path"] == "/result":
        try:
            body = {"value": await jobs.result(query["id"], timeout=20)}
        except jobs.TaskFailed as error:
            body = {"failed": error.message, "type": error.type}
    else:
        number = int(query["n"])
        body = {"id": jobs.enqueue("job_functions:add", number, b=1, key=query.get("key"))}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
