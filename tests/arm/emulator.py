"""Sets up a 64-bit Arm computer in a folder: Debian's Python under QEMU's user emulation, with the project's wheel.

Nothing is installed on this machine, and no root is needed. `apt-get` fetches Debian 13's packages with a
configuration of its own and checks their signatures, `dpkg-deb` unpacks them, and pip fetches Arm wheels of the
versions that are installed here. What is set up once stays in the folder; the wheel is installed anew each time.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

RELEASE = "trixie"  # its QEMU is 10; LiteRT crashes under the QEMU 7.2 of the release before it
MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PYTHON = "3.13"
PLAIN = "cortex-a72"  # as in a Raspberry Pi 4: neither dot-product nor int8-matrix instructions
NEW = "max"  # all instructions that QEMU knows, dot products and int8 matrices among them
PINNED = ("numpy", "opencv-python-headless", "simplejpeg", "ai-edge-litert")
COMMAND_SECONDS = 600
TOOLS = {"apt-get": "apt", "dpkg-deb": "dpkg"}  # command -> Debian's package
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


@dataclass(frozen=True)
class Emulator:
    """A Python for 64-bit Arm that runs on this machine.

    Attributes:
        python: a script that runs the Python; also the processes that a program starts with it are emulated.
        site: the folder into which pip installed the wheel and what it needs.
    """

    python: Path
    site: Path

    def run(
        self, words: Sequence[str], processor: str = PLAIN, seconds: float = 7200
    ) -> "subprocess.CompletedProcess[str]":
        """Run `python WORDS`, away from the repository, so that only the installed wheel can be imported.

        Args:
            words: the arguments of Python.
            processor: QEMU's name of the processor.
            seconds: how long it may take; then the status is 124.
        """
        # Compiling Python's modules takes a minute under emulation, so it is done once.
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(self.site), "PYTHONNOUSERSITE": "1", "QEMU_CPU": processor}
        environment["PYTHONPYCACHEPREFIX"] = str(self.site.with_name("bytecode"))
        command = [str(self.python), *words]
        with tempfile.TemporaryDirectory() as settings:  # of the user, whose key and heads of journals stay as they are
            environment["XDG_CONFIG_HOME"] = settings
            try:
                return subprocess.run(
                    command, capture_output=True, text=True, cwd=self.site, env=environment, timeout=seconds
                )
            except subprocess.TimeoutExpired:
                return subprocess.CompletedProcess(command, 124, "", f"It did not end within {seconds} s.")

    def run_command(self, words: Sequence[str], processor: str = PLAIN) -> "subprocess.CompletedProcess[str]":
        """Run `keras-dr-edge WORDS`; the processes that it starts are emulated as well."""
        program = f"import sys; sys.executable = {str(self.python)!r}; from edge_demo.__main__ import run; run()"
        return self.run(["-c", program, *words], processor, COMMAND_SECONDS)


def set_up(cache: Path, wheel: Path) -> Emulator:
    """Set up the emulator in a folder, or take up the one that is there, and install a wheel in it.

    Args:
        cache: the folder; about 700 MB.
        wheel: the project's wheel.

    Raises:
        SystemExit: a tool or the keyring is missing, or a download failed; the message says which.
    """
    _check_tools()
    cache = cache.resolve()
    root = cache / "root"
    if not (root / "usr" / "bin" / f"python{PYTHON}").exists():
        _say("fetching Debian's Python for Arm")
        _unpack(_fetch(cache / "apt-arm64", "arm64", [f"python{PYTHON}", "libstdc++6"]), root)
    qemu = cache / "qemu"
    host = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    if not (qemu / "usr" / "bin" / "qemu-aarch64").exists():
        _say("fetching QEMU")
        _unpack(_fetch(cache / f"apt-{host}", host, ["qemu-user"], alone=True), qemu)
    site = cache / "site"
    _install(wheel, site)
    python = cache / "python-arm"
    start = f'"{qemu}/usr/bin/qemu-aarch64" -L "{root}" "{root}/usr/bin/python{PYTHON}"'
    python.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
    python.chmod(0o755)
    return Emulator(python, site)


def _say(text: str) -> None:
    print(f"Setting up Arm: {text}.", file=sys.stderr, flush=True)


def _check_tools() -> None:
    for command, package in TOOLS.items():
        if shutil.which(command) is None:
            sys.exit(f"error: {command} is missing. Use Debian or Ubuntu, and install the package {package}.")
    if not KEYRING.exists():
        sys.exit(f"error: {KEYRING} is missing. Install the package debian-archive-keyring.")
    if platform.machine() not in ("x86_64", "aarch64"):
        sys.exit(f"error: this machine is {platform.machine()}; the emulator is set up only on x86_64 and aarch64.")


def _run(words: Sequence[str], what: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {what} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


def _fetch(folder: Path, architecture: str, packages: Sequence[str], alone: bool = False) -> list[Path]:
    """Download Debian packages, with those that they need, and return their files.

    Args:
        folder: for the lists of packages and the downloads.
        architecture: Debian's name of the architecture.
        packages: their names.
        alone: whether the packages that they need are left out.
    """
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    mirror = os.environ.get("DEBIAN_MIRROR", MIRROR)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {RELEASE} main\n")
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Acquire::Retries": "3",
        "APT::Sandbox::User": "",  # do not change the user who downloads: no root is needed
        "Debug::NoLocking": "true",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    _run([*apt, "update"], "reading the list of Debian's packages")
    archives = folder / "cache" / "archives"
    if alone:
        _run(["sh", "-c", 'cd "$1" && shift && "$@"', "sh", str(archives), *apt, "download", *packages], "downloading")
    else:
        _run([*apt, "install", "--download-only", "--yes", "--no-install-recommends", *packages], "downloading")
    return sorted(archives.glob("*.deb"))


def _unpack(files: Sequence[Path], root: Path) -> None:
    """Unpack Debian packages into a folder, which is complete or absent."""
    making = root.with_name(f"{root.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    (making / "usr" / "lib").mkdir(parents=True)
    for name in ("lib", "bin"):  # as the package base-files does it: the loader is looked for in /lib
        (making / name).symlink_to(f"usr/{name}")
    for file in files:
        _run(["dpkg-deb", "--extract", str(file), str(making)], f"unpacking {file.name}")
    making.rename(root)


def _install(wheel: Path, site: Path) -> None:
    """Install the wheel, and Arm wheels of the versions that are installed here."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(site)]
    pip += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    for name in _PLATFORMS:
        pip += ["--platform", name]
    pinned = [f"{name}=={version(name)}" for name in PINNED]
    marker = site / "installed.txt"
    if not marker.exists() or marker.read_text() != "\n".join(pinned):
        _say("fetching wheels for Arm")
        shutil.rmtree(site, ignore_errors=True)
        _run([*pip, str(wheel), *pinned], "installing the wheel and what it needs")
        marker.write_text("\n".join(pinned))
        return
    for package in ("edge_demo", "export", "keras_dr", *(path.name for path in site.glob("keras_dr-*"))):
        shutil.rmtree(site / package, ignore_errors=True)
    _run([*pip, "--no-deps", "--no-index", "--upgrade", str(wheel)], "installing the wheel")


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this repository in a folder and return its file."""
    repository = Path(__file__).resolve().parents[2]
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "build", "--quiet", "--outdir", str(folder), str(repository)], "building")
    return next(folder.glob("*.whl"))
