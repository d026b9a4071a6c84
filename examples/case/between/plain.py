"""The site's data by plain queries into slotted dataclasses, with the queries of after/."""

from store import Chapter, Course, Found, User, select


async def courses(most: int) -> list[Course]:
    return await select(Course, "SELECT id, title, topic, hours FROM course ORDER BY id LIMIT ?", most)


async def course(number: int) -> tuple[Course, list[Chapter]] | None:
    found = await select(Course, "SELECT id, title, topic, hours FROM course WHERE id = ?", number)
    query = "SELECT id, course_id, title, transcript FROM chapter WHERE course_id = ? ORDER BY id"
    return (found[0], await select(Chapter, query, number)) if found else None


async def user(number: int) -> User | None:
    found = await select(User, "SELECT id, password, course_id FROM user WHERE id = ?", number)
    return found[0] if found else None


async def search(match: str, most: int) -> list[Found]:
    query = "SELECT id, course_id, title FROM found WHERE found MATCH ? ORDER BY rank, id LIMIT ?"
    return await select(Found, query, match, most, where="CASE_INDEX")
