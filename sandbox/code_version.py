"""The git commit of the running code: from git in a checkout, else from the installed package."""

import functools
import importlib.metadata
import json
import pathlib
import subprocess

UNKNOWN = "unknown"
COMMIT_FILE = "commit.txt"
"""Written into the package when a wheel is built in a checkout."""


@functools.cache
def code_commit() -> str:
    """The commit, with `-dirty` if tracked files have changed since; `unknown` if it cannot be found."""
    package = pathlib.Path(__file__).resolve().parent
    return commit_of_checkout(package.parent) or _from_build(package) or _from_install() or UNKNOWN


def commit_of_checkout(checkout: pathlib.Path) -> str | None:
    """The commit of a git checkout, with `-dirty` if tracked files have changed since; None if there is none."""
    if not (checkout / ".git").exists():  # another project's checkout may lie above an installed package
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _from_build(package: pathlib.Path) -> str | None:
    file = package / COMMIT_FILE
    return file.read_text().strip() or None if file.is_file() else None


def _from_install() -> str | None:
    """The commit that an installer noted when it installed from a git address (PEP 610)."""
    try:
        package = importlib.metadata.distribution("sandbox")
    except importlib.metadata.PackageNotFoundError:
        return None
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    return origin.get("vcs_info", {}).get("commit_id")
