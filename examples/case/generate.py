"""Makes the training site's database: courses, chapters with transcripts, users. The same seed makes the same data.

python examples/case/generate.py case.sqlite3 --courses 3000
"""

import argparse
import random
import sqlite3

SEED = 21
CHAPTERS = 8
USERS_PER_COURSE = 5
WORDS_IN_VOCABULARY = 20_000

SCHEMA = """
CREATE TABLE course (id INTEGER PRIMARY KEY, title TEXT NOT NULL, topic TEXT NOT NULL, hours INTEGER NOT NULL);
CREATE TABLE chapter (
    id INTEGER PRIMARY KEY, course_id INTEGER NOT NULL REFERENCES course (id), title TEXT NOT NULL,
    transcript TEXT NOT NULL
);
CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL, password TEXT NOT NULL, course_id INTEGER NOT NULL);
"""
TOPICS = ("databases", "languages", "management", "networks", "safety", "statistics")


def vocabulary(chance: random.Random) -> list[str]:
    syllables = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
    return ["".join(chance.choices(syllables, k=chance.randint(2, 4))) for _ in range(WORDS_IN_VOCABULARY)]


def make(path: str, courses: int, words: int) -> None:
    """Writes the database; `words` is the length of a transcript."""
    chance = random.Random(SEED)
    known = vocabulary(chance)
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    for course in range(1, courses + 1):
        title = " ".join(chance.choices(known, k=3)).title()
        row = (course, title, chance.choice(TOPICS), chance.randint(2, 40))
        database.execute("INSERT INTO course VALUES (?, ?, ?, ?)", row)
        for number in range(CHAPTERS):
            text = " ".join(chance.choices(known, k=words))
            row = ((course - 1) * CHAPTERS + number + 1, course, f"Chapter {number + 1}", text)
            database.execute("INSERT INTO chapter VALUES (?, ?, ?, ?)", row)
    for user in range(1, courses * USERS_PER_COURSE + 1):
        row = (user, f"user{user}", f"secret{user}", chance.randint(1, courses))
        database.execute("INSERT INTO user VALUES (?, ?, ?, ?)", row)
    database.commit()
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path")
    parser.add_argument("--courses", type=int, default=3000)
    parser.add_argument("--words", type=int, default=2000, help="of each transcript")
    given = parser.parse_args()
    make(given.path, given.courses, given.words)


if __name__ == "__main__":
    main()
