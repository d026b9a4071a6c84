"""Users by an ORM: one half of a pair, the other is plain.py.

`/page` answers with 200 users as JSON; `/hold` keeps all of them in memory, as a site's list in a module does.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "before"))

from flask import Flask, request
from models import Session, User
from sqlalchemy import select

app = Flask(__name__)
PAGE = 200
held: list[User] = []
keeper = Session()


@app.get("/page")
def page() -> list[dict[str, object]]:
    with Session() as session:
        first = int(request.args.get("from", 0))
        found = session.scalars(select(User).where(User.id > first).order_by(User.id).limit(PAGE))
        return [{"id": user.id, "name": user.name, "course": user.course_id} for user in found]


@app.get("/hold")
def hold() -> str:
    held[:] = keeper.scalars(select(User)).all()
    return str(len(held))
