"""The config classes without jax: their definitions, run one at a time and apart from the modules that hold them.

A mixer is one file, and so is a task: its options, and the program that jax traces. To list choices, to compose
and check a config, or to refuse a wrong key, the options are enough, and importing jax takes seconds. `definition`
runs the statement of a module that defines a name, and the statements of the project that this one needs in turn.
What another package is needed to define, such as the module of a mixer, stays undefined; a function that uses
a package in its body imports it when it is called. `imported` turns a config of such classes into a real one.
"""

import ast
import builtins
import dataclasses
import enum
import functools
import importlib
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

PACKAGE = pathlib.Path(__file__).resolve().parents[1]


DEFINED = (
    ("sandbox.config", "Config"),
    ("sandbox.config", "registered_names"),
    ("sandbox.models.mixers", "MIXERS"),
    ("sandbox.tasks", "TASKS"),
    ("sandbox.models.lm", "ModelConfig"),
    ("sandbox.train.config", "TrainConfig"),
)
"""Modules and the names in them that `definition` can be asked for."""


def definition(module: str, name: str) -> Any:
    """What one of the names `DEFINED` stands for.

    If any of them cannot be defined apart from its module, because an option of somebody's mixer needs another
    package, all modules are imported instead: slower, and the same otherwise.
    """
    return _names_of(module).defined[name] if _all_can_be() else importing(module, name)


def importing(module: str, name: str) -> Any:
    """What this name stands for where the module is imported, so that other processes can unpickle it."""
    return getattr(importlib.import_module(module), name)


@functools.cache
def _all_can_be() -> bool:
    try:
        return all(_names_of(module).define(name) for module, name in DEFINED)
    except Exception:  # importing the module says better what is wrong, if anything is
        return False


def imported(value: Any) -> Any:
    """The same config, made of the classes that importing their modules gives; each checks its options again."""
    if isinstance(value, dict):
        return {key: imported(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(imported, value))
    if not isinstance(value, enum.Enum) and not dataclasses.is_dataclass(value):
        return value
    real = getattr(importlib.import_module(type(value).__module__), type(value).__name__)
    if isinstance(value, enum.Enum):
        return real[value.name]
    return real(**{field.name: imported(getattr(value, field.name)) for field in dataclasses.fields(value)})


class _Names:
    """The names of one module: those defined so far, and the statements that define the others."""

    def __init__(self, module: str, path: pathlib.Path):
        self.path = path
        self.defined: dict[str, Any] = {"__name__": module}
        self.statements = {name: part for part in ast.parse(path.read_text()).body for name in _bound(part)}

    def define(self, name: str) -> bool:
        """Runs the statement that defines this name, unless it ran before; False if it cannot."""
        if name not in self.defined and name in self.statements:
            statement = self.statements.pop(name)
            if isinstance(statement, ast.AnnAssign) and statement.value:
                statement = ast.copy_location(ast.Assign([statement.target], statement.value), statement)
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(statement, name)
            elif self._can_run(statement):
                self._run(_Unannotated().visit(statement))
                for used in _names_in(statement):  # by the bodies of functions, which may name one another
                    self.define(used)
        return name in self.defined and not isinstance(self.defined[name], _Later)

    def _can_run(self, statement: ast.stmt) -> bool:
        """Defines what the statement reads when it runs; methods whose default values cannot be defined go."""
        if isinstance(statement, ast.ClassDef):
            methods = {part: self._can_run(part) for part in statement.body if isinstance(part, ast.FunctionDef)}
            statement.body = [part for part in statement.body if methods.get(part, True)]  # type: ignore[call-overload]
        needed = {name for part in _run_at_once(statement) for name in _read(part)}
        return all(self.define(name) for name in sorted(needed))

    def _import(self, statement: ast.Import | ast.ImportFrom, name: str) -> None:
        alias = next(alias for alias in statement.names if name in (alias.asname, alias.name))
        source = (statement.module or "") if isinstance(statement, ast.ImportFrom) else alias.name
        package = source.partition(".")[0]
        if package in sys.stdlib_module_names:
            self._run(statement)
        elif package != PACKAGE.name:
            self.defined[name] = _Later(source, alias.name if isinstance(statement, ast.ImportFrom) else None)
        elif _names_of(source).define(alias.name):
            self.defined[name] = _names_of(source).defined[alias.name]

    def _run(self, statement: ast.stmt) -> None:
        exec(compile(ast.Module([statement], []), str(self.path), "exec"), self.defined)


class _Later:
    """A module or function of another package, which is imported when it is used."""

    def __init__(self, module: str, name: str | None):
        self._module, self._name = module, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._load(), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._load()(*args, **kwargs)

    def _load(self) -> Any:
        module = importlib.import_module(self._module)
        return module if self._name is None else getattr(module, self._name)


class _Unannotated(ast.NodeTransformer):
    """Removes the annotations of functions, which speak of arrays; those of fields are their types, and stay."""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


@functools.cache
def _names_of(module: str) -> _Names:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return _Names(module, path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a module defines."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name for alias in names)
        case ast.Assign(targets=targets):
            yield from (name for target in targets for name in _names_in(target, ast.Store))
        case ast.AnnAssign(target=target, value=ast.expr()):
            yield from _names_in(target, ast.Store)


def _run_at_once(statement: ast.stmt) -> Iterator[ast.AST]:
    """The parts that run when the statement does: of a function only its decorators and default values."""
    match statement:
        case ast.FunctionDef(decorator_list=decorators, args=arguments):
            yield from (*decorators, *arguments.defaults, *filter(None, arguments.kw_defaults))
        case ast.ClassDef(decorator_list=decorators, bases=bases, keywords=keywords, body=body):
            yield from (*decorators, *bases, *keywords)
            yield from (part for inner in body for part in _run_at_once(inner))
        case _:
            yield statement


def _read(node: ast.AST) -> set[str]:
    """The names that an expression or a simple statement needs when it runs: not those in bodies of lambdas."""
    if isinstance(node, ast.Lambda):
        return {name for default in node.args.defaults for name in _read(default)}
    if isinstance(node, ast.Name):
        return set() if hasattr(builtins, node.id) else {node.id}
    inner = {name for child in ast.iter_child_nodes(node) for name in _read(child)}
    return inner - {*_names_in(node, ast.Store)}


def _names_in(node: ast.AST, context: type[ast.expr_context] = ast.expr_context) -> Iterator[str]:
    return (part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, context))
