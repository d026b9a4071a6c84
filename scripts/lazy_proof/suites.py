"""The test suites that prove a package can stand lazy imports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Suite:
    """A package's tests, as its source distribution has them."""

    package: str
    version: str
    tests: str = "tests"


# The suites of Quart and priority are in no source distribution; Quart's routes are tests/test_examples.py.
SUITES = [
    Suite("blinker", "1.9.0"),
    Suite("click", "8.5.1"),
    Suite("flask", "3.1.3"),
    Suite("h11", "0.16.0", "h11"),
    Suite("h2", "4.4.1"),
    Suite("hpack", "4.2.0"),
    Suite("hypercorn", "0.18.0"),
    Suite("itsdangerous", "2.2.0"),
    Suite("jinja2", "3.1.6"),
    Suite("markupsafe", "3.0.4"),
    Suite("starlette", "1.10.0"),
    Suite("werkzeug", "3.1.9"),
    Suite("wsproto", "1.3.2"),
]

# CPython's own tests of the modules of its library that are lazy.
LIBRARY = [
    "test_hashlib",
    "test_hmac",
    "test_importlib",
    "test_inspect",
    "test_random",
    "test_shutil",
    "test_tempfile",
]
