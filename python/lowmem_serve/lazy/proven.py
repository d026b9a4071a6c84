"""The packages that `auto` stands for, with the evidence in docs/lazy-imports.md."""

# Their own test suites end with lazy imports as without (scripts/lazy-proof.sh). Of the standard library, the
# modules that bring in others which a server seldom needs; more of them would not make a worker lighter.
PACKAGES = frozenset(
    (
        "blinker",
        "click",
        "flask",
        "h11",
        "h2",
        "hpack",
        "hypercorn",
        "importlib",
        "itsdangerous",
        "jinja2",
        "markupsafe",
        "quart",
        "random",
        "shutil",
        "starlette",
        "tempfile",
        "werkzeug",
        "wsproto",
    )
)

# Modules of them that stay as they are, with the reason.
EAGER_MODULES: dict[str, str] = {}
