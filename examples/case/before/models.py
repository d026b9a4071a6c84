"""The site's tables, as an ORM maps them."""

import os

from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

engine = create_engine("sqlite:///" + os.environ["CASE_DB"])
Session = sessionmaker(engine)


class Base(DeclarativeBase):
    pass


class Course(Base):
    __tablename__ = "course"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    topic: Mapped[str]
    hours: Mapped[int]
    chapters: Mapped[list["Chapter"]] = relationship(order_by="Chapter.id")


class Chapter(Base):
    __tablename__ = "chapter"
    id: Mapped[int] = mapped_column(primary_key=True)
    course_id: Mapped[int] = mapped_column(ForeignKey("course.id"))
    title: Mapped[str]
    transcript: Mapped[str]


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    password: Mapped[str]
    course_id: Mapped[int] = mapped_column(ForeignKey("course.id"))
