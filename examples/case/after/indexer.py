"""The search indexer after: a job that imports sqlite3 and ends."""

import os
import sqlite3


def rebuild() -> None:
    """Indexes all transcripts, a row at a time."""
    target = os.environ["CASE_INDEX"]
    index = sqlite3.connect(target + ".new")
    index.execute("DROP TABLE IF EXISTS found")
    index.execute(
        "CREATE VIRTUAL TABLE found USING fts5 (id UNINDEXED, course_id UNINDEXED, title, transcript)"
    )
    database = sqlite3.connect(os.environ["CASE_DB"])
    rows = database.execute("SELECT id, course_id, title, transcript FROM chapter")
    index.executemany("INSERT INTO found VALUES (?, ?, ?, ?)", rows)
    index.commit()
    index.close()
    database.close()
    os.replace(target + ".new", target)
    print("indexed", flush=True)
