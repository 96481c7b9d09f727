"""Which commit of the code runs: from git in a checkout, from the build metadata of an installed package."""

import functools
import importlib.metadata
import json
import pathlib
import subprocess

UNKNOWN = "unknown"


@functools.cache
def code_commit() -> str:
    """The commit, with `-dirty` where tracked files have changed since; `unknown` where nothing says."""
    return _from_git(pathlib.Path(__file__).resolve().parents[1]) or _from_metadata() or UNKNOWN


def _from_git(checkout: pathlib.Path) -> str | None:
    if not (checkout / ".git").exists():  # another project's checkout may lie above an installed package
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _from_metadata() -> str | None:
    """From `commit.txt`, which the build writes into the package, or what pip noted of an install from git."""
    try:
        package = importlib.metadata.distribution("sandbox")
    except importlib.metadata.PackageNotFoundError:
        return None
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    return origin.get("vcs_info", {}).get("commit_id")
