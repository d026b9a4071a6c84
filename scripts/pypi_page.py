"""The page of a release on PyPI: the README with links that lead somewhere from there, and the project's addresses."""

import re
from pathlib import Path

LINK = re.compile(r"(?P<image>!)?\[(?P<text>(?:[^][]|\[[^]]*\])*)\]\((?P<to>[^()\s]+)\)")

FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
"""A block of code: what looks like a link in it is none."""

ELSEWHERE = re.compile(r"[a-z]+:|#")
"""The beginning of a link that is not to a file of the repository."""


def presented(readme: str, url: str | None, revision: str) -> str:
    """The README with links to the repository at `url`, or, where that is unknown, with plain words for links."""

    def link(found: re.Match[str]) -> str:
        text, to = found["text"], found["to"]
        if found["image"]:
            return (
                found[0]
                if ELSEWHERE.match(to)
                else (f"![{text}]({url}/raw/{revision}/{to})" if url else text)
            )
        text = LINK.sub(link, text)
        if ELSEWHERE.match(to):
            return f"[{text}]({to})"
        return f"[{text}]({url}/blob/{revision}/{to})" if url else text

    pieces = FENCE.split(readme)
    return "".join(piece if piece.startswith("```") else LINK.sub(link, piece) for piece in pieces)


def urls(url: str, revision: str) -> str:
    """The table of pyproject.toml that PyPI shows beside the page."""
    places = {
        "Repository": url,
        "Documentation": f"{url}/tree/{revision}/docs",
        "Changelog": f"{url}/blob/{revision}/CHANGELOG.md",
        "Issues": f"{url}/issues",
    }
    return "\n[project.urls]\n" + "".join(f'{name} = "{place}"\n' for name, place in places.items())


def prepare(tree: Path, url: str | None, version: str) -> None:
    """Changes the files of a tree that is going to be a source distribution."""
    revision = f"v{version}"
    readme = tree / "README.md"
    readme.write_text(presented(readme.read_text(), url, revision))
    if url:
        project = tree / "pyproject.toml"
        project.write_text(project.read_text() + urls(url, revision))
