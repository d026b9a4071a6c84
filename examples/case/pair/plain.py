"""Users by plain queries into slotted dataclasses: one half of a pair, the other is mapped.py."""

import os
import sqlite3
from dataclasses import dataclass

from flask import Flask, request

app = Flask(__name__)
PAGE = 200


@dataclass(frozen=True, slots=True)
class User:
    id: int
    name: str
    password: str
    course_id: int


held: list[User] = []


def select(query: str, *values: object) -> list[User]:
    database = sqlite3.connect(os.environ["CASE_DB"])
    try:
        return [User(*row) for row in database.execute(query, values)]
    finally:
        database.close()


@app.get("/page")
def page() -> list[dict[str, object]]:
    query = "SELECT id, name, password, course_id FROM user WHERE id > ? ORDER BY id LIMIT ?"
    found = select(query, int(request.args.get("from", 0)), PAGE)
    return [{"id": user.id, "name": user.name, "course": user.course_id} for user in found]


@app.get("/hold")
def hold() -> str:
    held[:] = select("SELECT id, name, password, course_id FROM user")
    return str(len(held))
