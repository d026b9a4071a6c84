"""Fail when rooms of the source lead back to themselves.

    python scripts/rooms.py            look for circles
    python scripts/rooms.py --print    print what each room uses, too

A room is a file or folder of one folder, and every folder is looked at. It uses another when one of its
files names something of it in a `use` line or a path; a name that a `mod.rs` passes on counts for the
room that it is from. Tests do not count. A folder's `mod.rs` is no room beside its files, but the thing
that they are parts of (a file of it sees what is private there), except in the folders named below. Exit
code 1: there is a circle, whose edges are printed with the names that make them.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CRATES = ("src", "crates/base/src", "crates/bridge/src", "crates/cache/src", "crates/http/src")
COUNTS_ITS_MOD = (
    ("src", ""),
    ("src", "environment"),
    ("src", "launch"),
    ("crates/base/src", ""),
    ("crates/bridge/src", ""),
    ("crates/bridge/src", "event_loop"),
    ("crates/bridge/src", "light"),
    ("crates/bridge/src", "worker"),
    ("crates/bridge/src", "wsgi"),
    ("crates/cache/src", ""),
    ("crates/http/src", ""),
    ("crates/http/src", "server"),
)
"""Folders whose `mod.rs` is a room as its files are: it assembles them, and none of them uses it."""

Module = tuple[str, ...]
OUTSIDE: Module = ("", "")
"""Of another crate."""
Edges = dict[tuple[str, str], set[str]]
USE = re.compile(r"(?:^|\n)\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")
CHILD_PATH = re.compile(r"(?<![\w:])[a-z_]\w*(?:::\w+)+")


class Source:
    """The names that one file uses."""

    def __init__(self, crate: Path, file: Path) -> None:
        parts = [*file.relative_to(crate).parts[:-1], file.stem]
        self.module: Module = tuple(parts[:-1] if file.stem in ("mod", "lib") else parts)
        own = file.parent if file.stem in ("mod", "lib") else file.with_suffix("")
        self.children = (
            {child.stem for child in own.iterdir() if child.suffix in ("", ".rs")} if own.is_dir() else set()
        )
        code = re.sub(r"pub\(in [^)]*\)", "", re.sub(r"//[^\n]*", "", file.read_text()))
        code = code.partition("#[cfg(test)]\nmod tests {")[0]
        self.names: set[str] = set()
        self.passed_on: dict[str, str] = {}
        for public, tree in USE.findall(code):
            for path, alias in _expand(tree):
                name = self._resolve(path)
                self.names.add(name)
                if public:
                    self.passed_on[alias] = name
        rest = USE.sub("", code)
        self.names |= {self._resolve(name) for name in [*PATH.findall(rest), *self._child_paths(rest)]}

    def _resolve(self, name: str) -> str:
        place = list(self.module)
        if name.startswith("crate::"):
            return name.removeprefix("crate::")
        while name.startswith("super::"):
            name = name.removeprefix("super::")
            place = place[:-1]
        first = name.removeprefix("self::").partition("::")[0]
        is_relative = place != list(self.module) or name.startswith("self::") or first in self.children
        return "::".join([*place, name.removeprefix("self::")]) if is_relative else ""

    def _child_paths(self, code: str) -> list[str]:
        """`child::name`, as a `mod.rs` calls what is in its files."""
        return [name for name in CHILD_PATH.findall(code) if name.partition("::")[0] in self.children]


def _expand(tree: str) -> list[tuple[str, str]]:
    """`a::{b, c as d}` is a::b by the name of b, and a::c by the name of d."""
    head, brace, _ = tree.partition("{")
    if not brace:
        path, _, alias = (part.strip() for part in tree.partition(" as "))
        path = path.removesuffix("::self")
        return [(path, alias or path.rpartition("::")[2])]
    parts, depth, part = [], 0, ""
    for character in tree[len(head) + 1 : tree.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += character
    return [found for part in parts if part for found in _expand(head.strip() + part)]


@cache
def _sources(crate: Path) -> dict[Module, Source]:
    files = (file for file in crate.rglob("*.rs") if "tests" not in (*file.parts, file.stem))
    return {source.module: source for source in (Source(crate, file) for file in files)}


def _edges(crate: Path, folder: str) -> Edges:
    sources = _sources(crate)
    inside: Module = tuple(folder.split("/")) if folder else ()

    def owner(name: str, left: int = 6) -> Module:
        """The module that an item is from."""
        parts = tuple(name.split("::"))
        known = max((n for n in range(len(parts) + 1) if parts[:n] in sources), default=0)
        source = sources.get(parts[:known])
        passed_on = source.passed_on if source else {}
        further = passed_on.get(parts[known] if known < len(parts) else "")
        if further == "":
            return OUTSIDE
        return owner(further, left - 1) if further and further != name and left else parts[:known]

    def room(module: Module) -> str:
        return module[len(inside)] if len(module) > len(inside) else "."

    edges: Edges = defaultdict(set)
    for source in sources.values():
        for name in filter(None, source.names):
            used = owner(name)
            both_inside = used != OUTSIDE and all(
                module[: len(inside)] == inside for module in (source.module, used)
            )
            if both_inside and room(source.module) != room(used):
                edges[room(source.module), room(used)].add(name)
    return edges


def _reached(edges: Edges, start: str) -> set[str]:
    """The rooms that a room uses, and those that they use."""
    reached: set[str] = set()
    next_ones = {start}
    while next_ones:
        next_ones = {b for a, b in edges if a in next_ones} - reached
        reached |= next_ones
    return reached


def _in_circles(edges: Edges) -> set[tuple[str, str]]:
    """The edges that lead back to where they begin."""
    reached = {room: _reached(edges, room) for room in {a for a, _ in edges}}
    return {(a, b) for a, b in edges if a in reached.get(b, set())}


def _places() -> list[tuple[str, str]]:
    """Each crate, and each folder in it."""
    places = []
    for crate in CRATES:
        root = REPOSITORY / crate
        folders = sorted(folder.relative_to(root) for folder in root.rglob("*") if folder.is_dir())
        places += [(crate, ""), *((crate, str(folder)) for folder in folders if "tests" not in folder.parts)]
    return places


def main() -> int:
    """Look at each folder."""
    failed = False
    for crate, folder in _places():
        edges = _edges(REPOSITORY / crate, folder)
        if "--print" in sys.argv:
            print(f"{crate}/{folder}")
            for room in sorted({a for a, _ in edges}):
                print(f"  {room}: {' '.join(sorted(b for a, b in edges if a == room))}")
        if (crate, folder) not in COUNTS_ITS_MOD:
            edges = {edge: names for edge, names in edges.items() if "." not in edge}
        for a, b in sorted(_in_circles(edges)):
            failed = True
            print(f"{crate}/{folder}: {a} uses {b}: {', '.join(sorted(edges[a, b]))}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
