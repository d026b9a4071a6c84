"""The training site after: Quart, raw queries into slotted dataclasses, a cache on disk, the report in a call of its own.

CASE_DB=case.sqlite3 CASE_INDEX=index.sqlite3 lowmem-serve --config lowmem-serve.toml
"""

from pathlib import Path

from quart import Quart, Response, abort, render_template, request
from store import Chapter, Course, Found, User, select

from lowmem_serve import cache, isolated

app = Quart(__name__, template_folder=str(Path(__file__).resolve().parent.parent / "templates"))
pages = cache.open("courses", size="256M", ttl="1d")
LONGEST_LIST = 100
MOST_FOUND = 20


@app.get("/")
async def courses() -> str:
    query = "SELECT id, title, topic, hours FROM course ORDER BY id LIMIT ?"
    return await render_template("courses.html", courses=await select(Course, query, LONGEST_LIST))


@app.get("/courses/<int:number>")
async def course(number: int) -> str:
    page = pages.get(number)
    if page is None:
        query = "SELECT id, title, topic, hours FROM course WHERE id = ?"
        if not (found := await select(Course, query, number)):
            abort(404)
        query = "SELECT id, course_id, title, transcript FROM chapter WHERE course_id = ? ORDER BY id"
        chapters = await select(Chapter, query, number)
        page = await render_template("course.html", course=found[0], chapters=chapters)
        pages.set(number, page)
    return page


@app.post("/login")
async def login() -> dict[str, int]:
    form = await request.form
    query = "SELECT id, password, course_id FROM user WHERE id = ?"
    found = await select(User, query, int(form["user"]))
    if not found or found[0].password != form["password"]:
        abort(403)
    return {"user": found[0].id, "course": found[0].course_id}


@app.get("/search")
async def search() -> str:
    words = request.args.get("q", "")
    query = "SELECT id, course_id, title FROM found WHERE found MATCH ? ORDER BY rank, id LIMIT ?"
    match = f'"{words}"' if words.isalnum() else '""'
    found = await select(Found, query, match, MOST_FOUND, where="CASE_INDEX")
    return await render_template("found.html", words=words, found=found)


@app.get("/report.png")
async def report() -> Response:
    from report import hours_by_topic

    return Response(await isolated(hours_by_topic, timeout=60), content_type="image/png")
