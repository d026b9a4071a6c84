"""The site's data: plain queries in, slotted dataclasses out."""

import os
from dataclasses import dataclass

import aiosqlite


@dataclass(frozen=True, slots=True)
class Course:
    id: int
    title: str
    topic: str
    hours: int


@dataclass(frozen=True, slots=True)
class Chapter:
    id: int
    course_id: int
    title: str
    transcript: str


@dataclass(frozen=True, slots=True)
class User:
    id: int
    password: str
    course_id: int


@dataclass(frozen=True, slots=True)
class Found:
    id: int
    course_id: int
    title: str


async def select(kind: type, query: str, *values: object, where: str = "CASE_DB") -> list:
    """The rows of a query as instances of `kind`, whose fields have the query's order."""
    async with aiosqlite.connect(os.environ[where]) as database:
        async with database.execute(query, values) as cursor:
            return [kind(*row) async for row in cursor]
