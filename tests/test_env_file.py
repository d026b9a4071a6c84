"""`--env-file` against python-dotenv, which Uvicorn reads such a file with."""

import os
import random
from pathlib import Path

from dotenv import dotenv_values

from harness import REPOSITORY

CORPUS = REPOSITORY / "fuzz" / "corpus" / "env_file"
"""The inputs of the fuzz target for these files."""

OUTSIDE = {"SET_OUTSIDE": "outside"}

PARTS = (
    " ", "\t", "#", " #", "'", '"', "\\", "\\n", "\\'", '\\"', "$", "${", "}", "${SET_OUTSIDE}", "${N_1}",
    "${NOT_SET:-x}", ":-", "=", "export ", "a", "b c", "é", "\u2003", "\r\n", "\n", "\n\n", "\r", "N", "{}", "\\\\",
)  # fmt: skip


def random_file(seed: int) -> str:
    """Bindings whose values are made of what means something, some of them over several lines."""
    made = random.Random(seed)
    lines = []
    for number in range(60):
        name = made.choice([f"N_{number}", f"export N_{number}", f"'N_{number}'", f"N_{number} "])
        value = "".join(made.choice(PARTS) for _ in range(made.randrange(7)))
        quote = made.choice(["", "", "'", '"'])
        lines.append(f"{name}={quote}{value}{quote}")
    return "\n".join(lines) + "\n"


def test_files_mean_what_they_mean_to_python_dotenv(server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SET_OUTSIDE", "outside")
    texts = [file.read_bytes().decode(errors="replace") for file in sorted(CORPUS.iterdir())]
    texts += [random_file(seed) for seed in range(12)]
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}.env"
        file.write_bytes(text.replace("\0", "").encode())
        expected = {
            name: value
            for name, value in dotenv_values(file, encoding="utf-8").items()
            if value is not None and name not in os.environ
        }
        started = server("mirror:app", "--env-file", str(file), env=OUTSIDE)
        seen = started.get("/").json()["environ"]
        differing = {
            name: (value, seen.get(name)) for name, value in expected.items() if seen.get(name) != value
        }
        assert not differing, f"{file}: {differing}"
        assert set(expected) <= set(seen)
        started.terminate()
