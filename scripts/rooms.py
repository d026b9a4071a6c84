"""Fail when rooms of the source lead back to themselves.

    python scripts/rooms.py            look for circles
    python scripts/rooms.py --print    print what each room uses, too

A room is a file or folder of one folder. It uses another when one of its files names something of it in
a `use` line or a path; a name that a `mod.rs` passes on counts for the room that it is from. Tests do
not count. Exit code 1: there is a circle, whose edges are printed with the names that make them.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FREE_OF_CIRCLES = (
    ("crates/base/src", ""),
    ("crates/http/src", ""),
    ("crates/http/src", "server"),
    ("crates/bridge/src", ""),
    ("crates/bridge/src", "event_loop"),
    ("crates/bridge/src", "light"),
)
"""A crate, and the folder in it whose rooms are looked at."""

Module = tuple[str, ...]
Edges = dict[tuple[str, str], set[str]]
USE = re.compile(r"(?:^|\n)\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


class Source:
    """What one file names."""

    def __init__(self, crate: Path, file: Path) -> None:
        parts = [*file.relative_to(crate).parts[:-1], file.stem]
        self.module: Module = tuple(parts[:-1] if file.stem in ("mod", "lib") else parts)
        self.folder = file.parent if file.stem in ("mod", "lib") else None
        code = re.sub(r"pub\(in [^)]*\)", "", re.sub(r"//[^\n]*", "", file.read_text()))
        code = code.partition("#[cfg(test)]\nmod tests {")[0]
        self.names: set[str] = set()
        self.passed_on: dict[str, str] = {}
        for public, tree in USE.findall(code):
            for name in map(self._resolve, _expand(tree)):
                self.names.add(name)
                if public:
                    self.passed_on[name.rpartition("::")[2]] = name
        self.names |= {self._resolve(name) for name in PATH.findall(USE.sub("", code))}

    def _resolve(self, name: str) -> str:
        place = list(self.module)
        if name.startswith("crate::"):
            return name.removeprefix("crate::")
        while name.startswith("super::"):
            name = name.removeprefix("super::")
            place = place[:-1]
        first = name.removeprefix("self::").partition("::")[0]
        is_child = self.folder and ((self.folder / f"{first}.rs").exists() or (self.folder / first).is_dir())
        is_relative = place != list(self.module) or name.startswith("self::") or is_child
        return "::".join([*place, name.removeprefix("self::")]) if is_relative else ""


def _expand(tree: str) -> list[str]:
    """`a::{b, c as d}` is a::b and a::c."""
    head, brace, _ = tree.partition("{")
    if not brace:
        name = tree.partition(" as ")[0].strip()
        return [name.removesuffix("::self")]
    parts, depth, part = [], 0, ""
    for character in tree[len(head) + 1 : tree.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += character
    return [name for part in parts if part for name in _expand(head.strip() + part)]


def _edges(crate: Path, folder: str) -> Edges:
    files = (file for file in crate.rglob("*.rs") if "tests" not in (*file.parts, file.stem))
    sources = {source.module: source for source in (Source(crate, file) for file in files)}
    inside: Module = (folder,) if folder else ()

    def owner(name: str, left: int = 6) -> Module:
        """The module that an item is from."""
        parts = tuple(name.split("::"))
        known = max((n for n in range(len(parts) + 1) if parts[:n] in sources), default=0)
        source = sources.get(parts[:known])
        further = source and source.passed_on.get(parts[known] if known < len(parts) else "")
        return owner(further, left - 1) if further and further != name and left else parts[:known]

    def room(module: Module) -> str:
        return module[len(inside)] if len(module) > len(inside) else "."

    edges: Edges = defaultdict(set)
    for source in sources.values():
        for name in filter(None, source.names):
            used = owner(name)
            both_inside = all(module[: len(inside)] == inside for module in (source.module, used))
            if both_inside and room(source.module) != room(used):
                edges[room(source.module), room(used)].add(name)
    return edges


def _in_circles(edges: Edges) -> set[str]:
    """The rooms that are left when those that use none of the rest are taken away, and the other way."""
    rooms = {room for edge in edges for room in edge}
    while True:
        inner = [(a, b) for a, b in edges if a in rooms and b in rooms]
        kept = {a for a, _ in inner} & {b for _, b in inner}
        if kept == rooms:
            return rooms
        rooms = kept


def main() -> int:
    """Look at each folder."""
    failed = False
    for crate, folder in FREE_OF_CIRCLES:
        edges = _edges(REPOSITORY / crate, folder)
        if "--print" in sys.argv:
            print(f"{crate}/{folder}")
            for room in sorted({a for a, _ in edges}):
                print(f"  {room}: {' '.join(sorted(b for a, b in edges if a == room))}")
        circle = _in_circles(edges)
        for (a, b), names in sorted(edges.items()):
            if a in circle and b in circle:
                failed = True
                print(f"{crate}/{folder}: {a} uses {b}: {', '.join(sorted(names))}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
