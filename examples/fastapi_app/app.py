"""FastAPI: a to-do list in memory, validated by pydantic, with its own documentation at /docs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Annotated

from fastapi import Depends, FastAPI, Form, HTTPException, Request, UploadFile
from pydantic import BaseModel, Field


class NewTask(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    done: bool = False


class Task(NewTask):
    id: int


TaskList = dict[int, Task]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    yield {"tasks": {}, "numbers": count(1)}


app = FastAPI(title="To do", lifespan=lifespan)


def tasks_of(request: Request) -> TaskList:
    """A plain function: FastAPI runs it in a thread."""
    return request.state.tasks


Tasks = Annotated[TaskList, Depends(tasks_of)]


@app.get("/")
async def index() -> dict[str, str]:
    return {"framework": "fastapi", "documentation": "/docs"}


@app.get("/tasks")
async def read_tasks(tasks: Tasks) -> list[Task]:
    return list(tasks.values())


@app.post("/tasks", status_code=201)
async def add_task(new: NewTask, tasks: Tasks, request: Request) -> Task:
    task = Task(id=next(request.state.numbers), **new.model_dump())
    tasks[task.id] = task
    return task


@app.get("/tasks/{number}")
async def read_task(number: int, tasks: Tasks) -> Task:
    if number not in tasks:
        raise HTTPException(404, "no such task")
    return tasks[number]


@app.post("/greet")
async def greet(name: Annotated[str, Form()]) -> dict[str, str]:
    return {"greeting": f"Hello, {name}!"}


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, object]:
    return {"filename": file.filename, "bytes": len(await file.read())}
