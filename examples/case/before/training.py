"""The training site before: Flask, an ORM, caches in dicts, everything imported at the top.

CASE_DB=case.sqlite3 CASE_INDEX=index.sqlite3 granian --interface wsgi --workers 2 training:app
"""

import io
import os
import sqlite3
from pathlib import Path

import boto3
import matplotlib
import pandas
from flask import Flask, Response, abort, render_template, request
from models import Course, Session, User, engine
from sqlalchemy import select

matplotlib.use("agg")

import matplotlib.pyplot as plt

app = Flask(__name__, template_folder=str(Path(__file__).resolve().parent.parent / "templates"))
archive = boto3.session.Session(region_name="eu-central-1")
pages: dict[int, str] = {}
LONGEST_LIST = 100
MOST_FOUND = 20


@app.get("/")
def courses() -> str:
    with Session() as session:
        found = session.scalars(select(Course).order_by(Course.id).limit(LONGEST_LIST)).all()
        return render_template("courses.html", courses=found)


@app.get("/courses/<int:number>")
def course(number: int) -> str:
    if number not in pages:
        with Session() as session:
            found = session.get(Course, number)
            if found is None:
                abort(404)
            pages[number] = render_template("course.html", course=found, chapters=found.chapters)
    return pages[number]


@app.post("/login")
def login() -> dict[str, int]:
    with Session() as session:
        query = select(User).where(User.id == int(request.form["user"]))
        found = session.scalars(query).first()
        if found is None or found.password != request.form["password"]:
            abort(403)
        return {"user": found.id, "course": found.course_id}


@app.get("/search")
def search() -> str:
    words = request.args.get("q", "")
    query = "SELECT id, course_id, title FROM found WHERE found MATCH ? ORDER BY rank, id LIMIT ?"
    index = sqlite3.connect(os.environ["CASE_INDEX"])
    index.row_factory = sqlite3.Row
    rows = index.execute(query, (f'"{words}"' if words.isalnum() else '""', MOST_FOUND)).fetchall()
    index.close()
    return render_template("found.html", words=words, found=rows)


@app.get("/report.png")
def report() -> Response:
    frame = pandas.read_sql_query(
        "SELECT topic, hours FROM user JOIN course ON course.id = course_id", engine.raw_connection()
    )
    figure, axes = plt.subplots()
    frame.groupby("topic").hours.sum().plot.bar(ax=axes)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    plt.close(figure)
    return Response(picture.getvalue(), content_type="image/png")
