"""The site's data by SQLAlchemy's asynchronous sessions, with the models of before/."""

import os

from models import Chapter, Course, User
from plain import search
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

__all__ = ["course", "courses", "search", "user"]

Session = async_sessionmaker(create_async_engine("sqlite+aiosqlite:///" + os.environ["CASE_DB"]))


async def courses(most: int) -> list[Course]:
    async with Session() as session:
        return list(await session.scalars(select(Course).order_by(Course.id).limit(most)))


async def course(number: int) -> tuple[Course, list[Chapter]] | None:
    async with Session() as session:
        found = await session.get(Course, number)
        if found is None:
            return None
        query = select(Chapter).where(Chapter.course_id == number).order_by(Chapter.id)
        return found, list(await session.scalars(query))


async def user(number: int) -> User | None:
    async with Session() as session:
        return await session.get(User, number)
