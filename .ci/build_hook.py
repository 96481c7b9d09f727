"""Writes the git commit that a wheel is built from into the package, as `sandbox/commit.txt`."""

import pathlib
import runpy
import shutil
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Called by hatchling; see `[tool.hatch.build.targets.wheel.hooks.custom]` in pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the file to a wheel that is built in a git checkout; an editable install asks git itself."""
        code_version = runpy.run_path(str(pathlib.Path(self.root) / "sandbox" / "code_version.py"))
        commit = code_version["commit_of_checkout"](pathlib.Path(self.root))
        if version == "editable" or commit is None:
            return
        file = pathlib.Path(self.directory) / ".commit" / code_version["COMMIT_FILE"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit + "\n")
        build_data["force_include"][str(file)] = f"sandbox/{file.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the temporary file."""
        shutil.rmtree(pathlib.Path(self.directory) / ".commit", ignore_errors=True)
