"""Build and check the wheels of a release (scripts/wheels.sh says how it is called).

Each wheel is built from the source distribution, which proves that this is complete. Cargo links with zig, whose own
copies of glibc 2.28 and musl decide on which systems a wheel runs, not those of this machine.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fallback_wheel
import pypi_page
import wheel_contents

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
SDIST = "sdist"
FALLBACK = "fallback"


@dataclass(frozen=True)
class Target:
    """One wheel with binaries."""

    platform: str
    """The platform tag in the wheel's name."""
    triple: str
    """Rust's name of it."""
    zig: str
    """Zig's name of it, with the version of the C library."""

    @property
    def machine(self) -> str:
        return self.triple.partition("-")[0]

    @property
    def is_musl(self) -> bool:
        return self.triple.endswith("musl")

    def cargo(self, zig: Path, source: Path, target: Path) -> dict[str, str]:
        """The variables that have Cargo build for it."""
        lower = self.triple.replace("-", "_")
        # Paths of this machine are of no use elsewhere, and would make the wheels of two machines differ.
        cargo_home = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
        flags = [f"--remap-path-prefix={source}=.", f"--remap-path-prefix={cargo_home}=cargo"]
        if self.is_musl:
            flags.append("-Ctarget-feature=-crt-static")
        return {
            "CARGO_BUILD_TARGET": self.triple,
            "CARGO_TARGET_DIR": str(target),
            f"CARGO_TARGET_{lower.upper()}_LINKER": str(ROOT / "scripts/zig/cc"),
            f"CC_{lower}": str(ROOT / "scripts/zig/cc"),
            f"AR_{lower}": str(ROOT / "scripts/zig/ar"),
            # The strongest of Cargo's variables for flags: setuptools-rust sets RUSTFLAGS for the shared object only,
            # so that everything would be compiled twice, and the executable be linked statically.
            "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
            "ZIG": str(zig),
            "ZIG_TARGET": self.zig,
        }


# glibc 2.28 is in Debian 10, RHEL 8 and Ubuntu 20.04 or older than theirs; musl 1.2 in Alpine 3.13.
TARGETS = (
    Target("manylinux_2_28_x86_64", "x86_64-unknown-linux-gnu", "x86_64-linux-gnu.2.28"),
    Target("musllinux_1_2_x86_64", "x86_64-unknown-linux-musl", "x86_64-linux-musl"),
    Target("manylinux_2_28_aarch64", "aarch64-unknown-linux-gnu", "aarch64-linux-gnu.2.28"),
    Target("musllinux_1_2_aarch64", "aarch64-unknown-linux-musl", "aarch64-linux-musl"),
)


class NotBuilt(Exception):
    """The reason why something cannot be made here, or is not as it should be."""


@dataclass
class Report:
    """One line of what is printed at the end."""

    what: str
    done: list[str] = field(default_factory=list)
    failed: str = ""

    def line(self) -> str:
        return f"{self.what}: {self.failed or '; '.join(self.done)}"


def say(text: str) -> None:
    print(f"=> {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, env: Mapping[str, str] = os.environ) -> str:
    """Runs a command in the tree; what it prints, unless it fails."""
    words = [*map(str, command)]
    ended = subprocess.run(
        words,
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if ended.returncode:
        last = ended.stdout.splitlines()[-40:]
        raise NotBuilt("\n".join([f"exit code {ended.returncode} of {' '.join(words)}", *last]))
    return ended.stdout


# --- the source distribution


def version() -> str:
    found = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert found, "Cargo.toml has no version"
    return found[1]


def stage(where: Path) -> Path:
    """A copy of the files that git has, prepared for PyPI. PROJECT_URL is where the repository is published."""
    shutil.rmtree(where, ignore_errors=True)
    for name in run("git", "ls-files", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, where / name)
    pypi_page.prepare(where, os.environ.get("PROJECT_URL", "").rstrip("/") or None, version())
    return where


def build_sdist(work: Path) -> Path:
    say("source distribution")
    for old in DIST.glob("*.tar.gz"):
        old.unlink()
    tree = stage(work / "tree")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", DIST, tree)
    (sdist,) = DIST.glob("*.tar.gz")
    return sdist


def unpack(sdist: Path, where: Path) -> Path:
    """The source tree. Unchanged files keep their place and their time, so that Cargo does not compile them again."""
    shutil.rmtree(where, ignore_errors=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(where, filter="data")
    (source,) = where.iterdir()
    return source


# --- a wheel


def need_rust_target(target: Target) -> None:
    """Installs Rust's standard library for it, or raises NotBuilt."""
    sysroot = run("rustc", "--print", "sysroot").strip()
    if (Path(sysroot) / "lib/rustlib" / target.triple / "lib").is_dir():
        return
    if not shutil.which("rustup"):
        raise NotBuilt(
            f"not built: Rust has no target {target.triple} here, and there is no rustup to add it"
        )
    run("rustup", "target", "add", target.triple)


def build(target: Target, source: Path, work: Path) -> Path:
    import ziglang

    need_rust_target(target)
    zig = Path(ziglang.__file__).with_name("zig")
    env = {**os.environ, **target.cargo(zig, source, work / "cargo")}
    # setuptools would pack what it built for another target, too.
    shutil.rmtree(source / "build", ignore_errors=True)
    say(f"{target.platform}: cargo build for {target.triple}, linked by zig for {target.zig}")
    for old in DIST.glob(f"*-{target.platform}.whl"):
        old.unlink()
    option = f"--config-setting=--build-option=--plat-name={target.platform}"
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", option, "--outdir", DIST, source, env=env)
    return wheel_of(target)


def wheel_of(target: Target) -> Path:
    (wheel,) = DIST.glob(f"*-{target.platform}.whl")
    return wheel


def check(wheel: Path, target: Target) -> str:
    """Raises NotBuilt unless the wheel runs where its name says."""
    found = list(wheel_contents.binaries(wheel))
    wrong = [
        f"{name} {fault}"
        for name, binary in found
        for fault in wheel_contents.faults(binary, target.platform)
    ]
    if wrong or len(found) != 2:
        raise NotBuilt(
            "; ".join(wrong) or f"{len(found)} binaries instead of an executable and a shared object"
        )
    # Not this machine's libraries: with musl's name for the C library it would find the linker script of glibc.
    with tempfile.TemporaryDirectory() as nothing:
        printed = run(sys.executable, "-m", "auditwheel", "show", "--ldpaths", nothing, wheel)
    tag = wheel_contents.audited(printed, target.platform)
    if not tag or not wheel_contents.is_covered(tag, target.platform):
        raise NotBuilt(f"auditwheel: {printed.strip()}")
    return f"auditwheel: {tag}"


def try_out(wheel: Path, target: Target) -> str:
    """Serves a page from the installed wheel where this machine can; otherwise says why not."""
    if target.machine != platform.machine():
        return f"not run: this machine is {platform.machine()}"
    env = dict(os.environ)
    if target.is_musl:
        env["PYTHONS"] = os.environ.get("MUSL_PYTHONS", "")
        if not env["PYTHONS"]:
            return "not run: MUSL_PYTHONS names no CPython that is linked with musl"
    say(f"{target.platform}: scripts/wheel-test.sh")
    printed = run(ROOT / "scripts/wheel-test.sh", "--wheel", wheel, env=env)
    return f"served by {printed.count('served by')} CPythons"


def wheel_steps(target: Target, source: Path, work: Path) -> Iterator[str]:
    wheel = build(target, source, work)
    yield f"{wheel.stat().st_size / 1e6:.1f} MB"
    yield check(wheel, target)
    yield try_out(wheel, target)


def fallback_steps() -> Iterator[str]:
    """The wheel for other systems; its metadata are those of a wheel with binaries."""
    wheels = [path for target in TARGETS for path in DIST.glob(f"*-{target.platform}.whl")]
    if not wheels:
        raise NotBuilt("not built: it is made of another wheel, and dist/ has none")
    say("fallback wheel")
    wheel = fallback_wheel.make(wheels[0], DIST)
    yield f"{wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB"


def twine_steps() -> Iterator[str]:
    products = sorted([*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")])
    run(sys.executable, "-m", "twine", "check", "--strict", *products)
    yield f"passed by {len(products)} files"


def report(what: str, steps: Iterator[str]) -> Report:
    """Takes the steps of one product; the first that fails ends it."""
    told = Report(what)
    try:
        told.done.extend(steps)
    except NotBuilt as error:
        told.failed = str(error)
    return told


def main() -> int:
    products: dict[str, Callable[[Path], Iterator[str]]] = {
        target.platform: lambda source, target=target: wheel_steps(target, source, work) for target in TARGETS
    }
    products[FALLBACK] = lambda source: fallback_steps()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "target/wheels", help="where to build")
    parser.add_argument("products", nargs="*", metavar="PRODUCT", help=", ".join([SDIST, *products]))
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    for name in arguments.products:
        if name not in products and name != SDIST:
            parser.error(f"{name} is none of {', '.join([SDIST, *products])}")
    DIST.mkdir(exist_ok=True)
    sdist = build_sdist(work)
    source = unpack(sdist, work / "source")
    wanted = arguments.products or [*products]
    reports = [Report(SDIST, [sdist.name])]
    reports += [report(name, products[name](source)) for name in wanted if name != SDIST]
    reports.append(report("twine check", twine_steps()))
    for each in reports:
        print(each.line())
    return int(any(each.failed for each in reports))


if __name__ == "__main__":
    sys.exit(main())
