"""The documentation: its links lead somewhere, and each option of the server has a page."""

import re
from pathlib import Path

import pytest

from harness import REPOSITORY, run

ROOTS = ("*.md", "docs/*.md", "examples/*.md", "benches/*.md")
PAGES = sorted(page for root in ROOTS for page in REPOSITORY.glob(root))
LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_each_link_leads_to_a_file_and_to_a_heading(page: Path) -> None:
    for path, anchor in LINK.findall(prose(page)):
        target = page.parent / path if path else page
        assert target.exists(), f"{path} is not there"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{path or page.name} has no heading #{anchor}"


def test_each_page_is_linked_from_another() -> None:
    links = {
        (page.parent / path).resolve()
        for page in PAGES
        for path, _ in LINK.findall(prose(page))
        if path and (page.parent / path).resolve() != page
    }
    unlinked = [page.name for page in (REPOSITORY / "docs").glob("*.md") if page not in links]
    assert unlinked == []


def test_each_option_has_a_page() -> None:
    shown = set(OPTION.findall(run("--help").stdout)) - {"--help", "--verbose"}
    assert len(shown) > 100
    pages = [page for page in PAGES if page.parent.name == "docs" or page.name == "README.md"]
    documented = set(OPTION.findall("\n".join(page.read_text() for page in pages)))
    assert sorted(shown - documented) == []
