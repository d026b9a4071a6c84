"""A directory of files to be served: of every kind, inside and outside."""

import os
from pathlib import Path

LARGE = 3 * 1024 * 1024 + 17
"""Bytes of a file that no socket takes at once."""

STYLE = b"body { color: red }\n"


def write_site(folder: Path) -> Path:
    """The files below `folder / "site"`, beside which one lies that is not to be served."""
    site = folder / "site"
    (site / "deep" / "er").mkdir(parents=True)
    (site / "index.html").write_text("<h1>home</h1>")
    (site / "style.css").write_bytes(STYLE)
    (site / "deep" / "index.html").write_text("<h1>deep</h1>")
    (site / "deep" / "a b.txt").write_text("spaces")
    (site / "empty.txt").write_bytes(b"")
    (site / "large.bin").write_bytes(os.urandom(LARGE))
    (site / ".env").write_text("SECRET=1")
    (site / ".well-known").mkdir()
    (site / ".well-known" / "security.txt").write_text("Contact: x")
    (folder / "outside.txt").write_text("outside")
    (site / "escape.txt").symlink_to("../outside.txt")
    (site / "absolute.txt").symlink_to("/etc/passwd")
    (site / "inner.css").symlink_to("style.css")
    return site
