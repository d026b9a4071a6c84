"""The training site between its two states: Quart, with what CASE_PARTS names still done the old way.

`orm`: SQLAlchemy in place of plain queries. `dict`: rendered pages in a dict in place of the cache on disk.
`inside`: the report is drawn in the worker in place of an isolated call. The modules of before/ and after/ must be on
the import path:

CASE_PARTS=orm,dict,inside PYTHONPATH=../before:../after lowmem-serve training:app
"""

import asyncio
import os
from pathlib import Path

import boto3
import matplotlib
import pandas
from quart import Quart, Response, abort, render_template, request
from report import hours_by_topic

PARTS = set(filter(None, os.environ["CASE_PARTS"].split(",")))
if unknown := PARTS - {"orm", "dict", "inside"}:
    raise SystemExit(f"CASE_PARTS: {', '.join(sorted(unknown))}")
if "orm" in PARTS:
    import mapped as data
else:
    import plain as data

app = Quart(__name__, template_folder=str(Path(__file__).resolve().parent.parent / "templates"))
LONGEST_LIST = 100
MOST_FOUND = 20


def archive() -> "boto3.Session":
    """Where transcripts are kept. No page needs it; the site imports it, as sites do."""
    return boto3.session.Session(region_name="eu-central-1")


class PagesInMemory(dict):
    """The old cache behind the names of the new one."""

    set = dict.__setitem__


def pages_of(parts: set[str]) -> "PagesInMemory | object":
    if "dict" in parts:
        return PagesInMemory()
    from lowmem_serve import cache

    return cache.open("courses", size="256M", ttl="1d")


pages = pages_of(PARTS)


@app.get("/")
async def courses() -> str:
    return await render_template("courses.html", courses=await data.courses(LONGEST_LIST))


@app.get("/courses/<int:number>")
async def course(number: int) -> str:
    page = pages.get(number)
    if page is None:
        found = await data.course(number)
        if found is None:
            abort(404)
        page = await render_template("course.html", course=found[0], chapters=found[1])
        pages.set(number, page)
    return page


@app.post("/login")
async def login() -> dict[str, int]:
    form = await request.form
    found = await data.user(int(form["user"]))
    if found is None or found.password != form["password"]:
        abort(403)
    return {"user": found.id, "course": found.course_id}


@app.get("/search")
async def search() -> str:
    words = request.args.get("q", "")
    found = await data.search(f'"{words}"' if words.isalnum() else '""', MOST_FOUND)
    return await render_template("found.html", words=words, found=found)


@app.get("/report.png")
async def report() -> Response:
    if "inside" in PARTS:
        picture = await asyncio.to_thread(hours_by_topic)
    else:
        from lowmem_serve import isolated

        picture = await isolated(hours_by_topic, timeout=60)
    return Response(picture, content_type="image/png")


def versions() -> dict[str, str]:
    """Of what the old code imported at the top."""
    return {module.__name__: module.__version__ for module in (boto3, matplotlib, pandas)}
