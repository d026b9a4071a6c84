"""The search indexer before: a daemon that imports the whole site and sleeps between its runs."""

import os
import sqlite3
import time

import training
from models import Chapter
from sqlalchemy import select

EVERY_SECONDS = float(os.environ.get("CASE_EVERY", "21600"))


def rebuild() -> int:
    """Indexes all transcripts; the number of chapters."""
    target = os.environ["CASE_INDEX"]
    index = sqlite3.connect(target + ".new")
    index.execute("DROP TABLE IF EXISTS found")
    index.execute(
        "CREATE VIRTUAL TABLE found USING fts5 (id UNINDEXED, course_id UNINDEXED, title, transcript)"
    )
    with training.Session() as session:
        chapters = session.scalars(select(Chapter)).all()
        for each in chapters:
            row = (each.id, each.course_id, each.title, each.transcript)
            index.execute("INSERT INTO found VALUES (?, ?, ?, ?)", row)
    index.commit()
    index.close()
    os.replace(target + ".new", target)
    return len(chapters)


if __name__ == "__main__":
    while True:
        print(f"indexed {rebuild()} chapters", flush=True)
        time.sleep(EVERY_SECONDS)
