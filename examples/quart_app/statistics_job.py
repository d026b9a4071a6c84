"""The nightly job: how many notes there were on each day, and by how many authors. It runs in a process of its own, which
the server starts and which imports this module only.
"""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

DATABASE = os.environ.get("QUART_DB", str(Path(tempfile.gettempdir()) / "guestbook.sqlite3"))

COUNT = """
CREATE TABLE IF NOT EXISTS day (day TEXT PRIMARY KEY, notes INTEGER NOT NULL, authors INTEGER NOT NULL) STRICT;
INSERT OR REPLACE INTO day
    SELECT date(written_at), count(*), count(DISTINCT author) FROM note GROUP BY date(written_at);
"""


def count() -> None:
    """Counts, and says what it has found, which goes to the server's log."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        connection.executescript(COUNT)
        days, notes = connection.execute("SELECT count(*), coalesce(sum(notes), 0) FROM day").fetchone()
    print(f"{notes} notes on {days} days")
