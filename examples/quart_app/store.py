"""The notes in SQLite: plain queries in, slotted dataclasses out."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import asdict, astuple, dataclass
from types import TracebackType
from typing import Any, Self

import aiosqlite

SCHEMA = """
CREATE TABLE IF NOT EXISTS note (
    number     INTEGER PRIMARY KEY,
    written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    author     TEXT NOT NULL,
    text       TEXT NOT NULL
) STRICT
"""

# The order of Note's fields.
COLUMNS = "number, written_at, author, text"


@dataclass(frozen=True, slots=True)
class Note:
    number: int
    written_at: str
    author: str
    text: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_csv(self) -> str:
        line = io.StringIO()
        csv.writer(line).writerow(astuple(self))
        return line.getvalue()


class Store:
    """One connection, opened at startup and closed at shutdown."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def __aenter__(self) -> Self:
        self._db = await aiosqlite.connect(self._path)
        # Readers do not wait for the writer.
        await self._db.execute("PRAGMA journal_mode = WAL")
        await self._db.execute(SCHEMA)
        await self._db.commit()
        return self

    async def __aexit__(
        self, kind: type | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._db.close()

    async def add(self, author: str, text: str) -> Note:
        query = f"INSERT INTO note (author, text) VALUES (?, ?) RETURNING {COLUMNS}"
        async with self._db.execute(query, (author, text)) as cursor:
            row = await cursor.fetchone()
        await self._db.commit()
        return Note(*row)

    async def find(self, number: int) -> Note | None:
        async with self._db.execute(f"SELECT {COLUMNS} FROM note WHERE number = ?", (number,)) as cursor:
            row = await cursor.fetchone()
        return Note(*row) if row else None

    async def days(self) -> list[dict[str, Any]]:
        async with self._db.execute("SELECT name FROM sqlite_master WHERE name = 'day'") as cursor:
            if await cursor.fetchone() is None:
                # The job has not run yet.
                return []
        async with self._db.execute("SELECT day, notes, authors FROM day ORDER BY day") as cursor:
            return [{"day": day, "notes": notes, "authors": authors} async for day, notes, authors in cursor]

    async def latest(self, limit: int) -> list[Note]:
        query = f"SELECT {COLUMNS} FROM note ORDER BY number DESC LIMIT ?"
        async with self._db.execute(query, (limit,)) as cursor:
            return [Note(*row) async for row in cursor]

    async def all(self) -> AsyncIterator[Note]:
        async with self._db.execute(f"SELECT {COLUMNS} FROM note ORDER BY number") as cursor:
            async for row in cursor:
                yield Note(*row)

    async def count(self) -> int:
        async with self._db.execute("SELECT count(*) FROM note") as cursor:
            (count,) = await cursor.fetchone()
        return count

    async def delete(self, number: int) -> bool:
        async with self._db.execute("DELETE FROM note WHERE number = ?", (number,)) as cursor:
            deleted = cursor.rowcount == 1
        await self._db.commit()
        return deleted
