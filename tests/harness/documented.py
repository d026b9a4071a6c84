"""Programs and files that stand in the documentation, for tests that run them."""

import re

from harness.server import REPOSITORY

BLOCK = re.compile(r"```(\w+)\n# (\S+)[^\n]*\n(.*?)```", re.DOTALL)


def files(document: str) -> dict[str, str]:
    """The blocks of `docs/DOCUMENT` that name a file in their first line, which is a comment."""
    text = (REPOSITORY / "docs" / document).read_text()
    return {name: f"# {name}\n{body}" for _, name, body in BLOCK.findall(text)}
