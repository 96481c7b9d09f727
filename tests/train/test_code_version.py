"""A record says which commit of the code it is of."""

import importlib.metadata
import json
import subprocess
import types

import pytest

from sandbox import code_version


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of the package, in an empty place."""
    folder = tmp_path / "sandbox"
    folder.mkdir()
    (folder / "code_version.py").write_text("")
    monkeypatch.setattr(code_version, "__file__", str(folder / "code_version.py"))
    monkeypatch.setattr(code_version.importlib.metadata, "distribution", installed_from({}))
    code_version.code_commit.cache_clear()
    yield folder
    code_version.code_commit.cache_clear()


def installed_from(origin):
    texts = {"direct_url.json": json.dumps(origin)} if origin else {}
    return lambda name: types.SimpleNamespace(read_text=texts.get)


def git(folder, *arguments):
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit_all(checkout):
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "all")
    return git(checkout, "rev-parse", "HEAD")


def test_a_clean_checkout(package):
    commit = commit_all(package.parent)
    assert code_version.code_commit() == commit


def test_a_checkout_with_changes(package):
    commit = commit_all(package.parent)
    (package / "code_version.py").write_text("changed")
    assert code_version.code_commit() == f"{commit}-dirty"


def test_an_installed_package_in_the_checkout_of_another_project(package):
    git(package.parent.parent, "init", "--quiet")
    assert code_version.code_commit() == "unknown"


def test_a_wheel_holds_the_commit_it_was_built_from(package):
    (package / "commit.txt").write_text("abc-dirty\n")
    assert code_version.code_commit() == "abc-dirty"


def test_an_install_from_a_git_address(package, monkeypatch):
    origin = {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    monkeypatch.setattr(code_version.importlib.metadata, "distribution", installed_from(origin))
    assert code_version.code_commit() == "abc"


def test_neither_git_nor_an_installed_package(package, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(code_version.importlib.metadata, "distribution", missing)
    assert code_version.code_commit() == "unknown"
