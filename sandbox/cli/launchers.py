"""Launchers of Hydra other than ours, which send runs to processes of their own: what a sweep does for them."""

import importlib.util
from typing import NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig

from sandbox.cli.compose import register_schema
from sandbox.cli.definitions import importing
from sandbox.errors import InputError


class Extra(NamedTuple):
    """What brings a launcher."""

    name: str
    package: str


EXTRAS = {
    "submitit_slurm": Extra("slurm", "hydra-submitit-launcher"),
    "ray": Extra("ray", "hydra-ray-launcher"),
}
"""Choice of `hydra/launcher` -> the extra that it needs."""

WITHOUT_PICKLES = ("processes", "basic")
"""Choices that give other processes nothing of Hydra's."""


def prepared(base: DictConfig, config_loader: ConfigLoader) -> DictConfig:
    """The config of a sweep as its launcher needs it: of classes that another process can import, jax among them.

    Raises InputError if the package of the launcher is not installed.
    """
    launcher = base.hydra.runtime.choices["hydra/launcher"]
    if launcher in WITHOUT_PICKLES:
        return base
    check_installed(launcher)
    register_schema(importing)
    overrides = [*base.hydra.overrides.hydra, *base.hydra.overrides.task]
    return config_loader.load_configuration(base.hydra.job.config_name, overrides, RunMode.MULTIRUN)


def check_installed(launcher: str) -> None:
    """Raises InputError if the package of this choice of `hydra/launcher` is not installed; imports nothing."""
    extra = EXTRAS.get(launcher)
    if extra and importlib.util.find_spec(f"hydra_plugins.{extra.package.replace('-', '_')}") is None:
        install = f"`uv sync --extra {extra.name}` or `pip install {extra.package}`"
        raise InputError(f"hydra/launcher={launcher} needs the package {extra.package}: {install}")
