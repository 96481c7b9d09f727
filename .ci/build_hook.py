"""Writes the git commit that a wheel is built from into the package, as `sandbox/commit.txt`."""

import pathlib
import subprocess
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Called by hatchling; see `[tool.hatch.build.targets.wheel.hooks.custom]` in pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the file to a wheel that is built in a git checkout; an editable install asks git itself."""
        if version == "editable" or not (pathlib.Path(self.root) / ".git").exists():
            return
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        try:
            commit = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return
        self._folder = pathlib.Path(self.directory) / ".commit"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "commit.txt").write_text(commit)
        build_data["force_include"][str(self._folder / "commit.txt")] = "sandbox/commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the temporary file."""
        folder = pathlib.Path(self.directory) / ".commit"
        (folder / "commit.txt").unlink(missing_ok=True)
        if folder.exists():
            folder.rmdir()
