"""Joint recall: the same keys have other values in every context; name the value of a key in a context.

Two contexts with two keys each, vocabulary 14 (`|` is 1, contexts 2..5, keys 6..9, values 10..13), `order=blocks`;
`.` is not scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15  16  17  18  19
    token      3   8  12   6  10   5   6  13   8  12   |   5   8  12   6  13   3   6  10   8
    target     .   .   .   .   .   .   .   .   .   .   .   .  12   .  13   .   .  10   .  12

The table comes first: each context once, followed by all keys, in an order of its own, with their values. Then
every entry is asked for. The value is due at the last part of a question, and shown after it. With
`order=blocks` a context is named once and holds for the questions up to the next. In the other orders each
question has both parts, and all entries are asked for in random order.

The same table asked for with `order=key_first`:

    position  10  11  12  13  14  15  16  17  18  19  20  21
    token      |   8   5  12   6   3  10   8   3  12   6   5
    target     .   .  12   .   .  10   .   .  12   .   .  13

Values are drawn independently. A model that looks up the key alone has one value for each context to choose from.

Source: Zhan et al. 2025, "Overcoming Long-Context Limitations of State-Space Models via Context-Dependent Sparse
Attention" (arXiv 2507.00449), multi-query joint recall; `scripts/create_dataset.py` of its code
(DeepGraphLearning/HAX). Its sizes are `task.contexts=[5,...,16]` and the same keys. Differences:

- the orders other than `blocks` are ours;
- contexts and keys of a sequence are any of the vocabulary; there n of them are always the first n;
- there is no BOS, and the last value is not shown.

In `compositional` the context stands beside every key, and each question alone in filler.
"""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from sandbox.option_checks import check_choice, check_needs, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.number_or_list import entries, side_by_side
from sandbox.tasks.parts.scoring import make_example
from sandbox.tasks.parts.without_replacement import draw_among, draw_uniform
from sandbox.tasks.task import Example, TaskConfig, TokenMeaning

PAD, SEP = range(2)
FIRST_CONTEXT = 2


class Order(enum.Enum):
    """How entries are asked for."""

    blocks = "blocks"
    """Context by context: a context, then all its keys."""
    context_first = "context_first"
    """In random order, each by its context and then its key."""
    key_first = "key_first"
    """In random order, each by its key and then its context."""
    either = "either"
    """In random order, each by both parts, of which either may be the first."""


class Table(NamedTuple):
    """Contexts, and after each of them keys with their values; of C contexts and K keys the first are used."""

    contexts: Int[Array, "C"]
    keys: Int[Array, "C K"]
    values: Int[Array, "C K"]


class Questions(NamedTuple):
    """The tokens from the first question on, where answers are due in them, and the answers."""

    tokens: Int[Array, " n"]
    positions: Int[Array, "M"]
    targets: Int[Array, "M"]


@dataclass(unsafe_hash=True)
class JointRecallConfig(TaskConfig):
    """Recall of all values of a table; every number of contexts with every number of keys is equally likely."""

    answers_are_read: ClassVar[bool] = True

    vocab_size: int = 50
    """Number of tokens: 0 is padding, 1 ends the table; of the rest a third each for contexts, keys and values."""
    contexts: Any = (2, 4)
    """Contexts of a table (int or list of int)."""
    keys: Any = (2, 4)
    """Keys of a table (int or list of int), each of which has a value in every context."""
    order: Order = Order.blocks
    """How entries are asked for: in `blocks`, or each by itself, `context_first`, `key_first` or `either`."""
    test_contexts: Any = ()
    """Numbers of contexts that are tested (int or list of int), an entry for each of `test_keys`."""
    test_keys: Any = ()
    """Numbers of keys that are tested (int or list of int). None given: tested as trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.vocab_size", self.vocab_size, least=5)
        check_choice("task.order", self.order, Order)
        for name in ("contexts", "keys", "test_contexts", "test_keys"):
            if name in ("contexts", "keys") and getattr(self, name) == ():
                raise ValueError(f"task.{name}=[] must have at least one entry")
            for key, number in entries(f"task.{name}", getattr(self, name)):
                check_whole_number(key, number, least=1)
                asking = f"{key}={number}"
                check_needs(asking, "task.vocab_size", self.vocab_size, 3 * number + 2, f"3 x {name} + 2")
        self._tested()

    @property
    def _third(self) -> int:
        """Number of contexts and of keys in the vocabulary; that of values may be larger by up to 2."""
        return (self.vocab_size - FIRST_CONTEXT) // 3

    @property
    def first_key(self) -> int:
        """Keys are the tokens from this one on."""
        return FIRST_CONTEXT + self._third

    @property
    def first_value(self) -> int:
        """Values are the tokens from this one on."""
        return self.first_key + self._third

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        options = {"contexts": self.contexts, "keys": self.keys}
        return {name: tuple(sorted({n for _, n in entries(name, value)})) for name, value in options.items()}

    @property
    def _most(self) -> tuple[int, int]:
        """The largest numbers of contexts and of keys."""
        return self.slice_values["contexts"][-1], self.slice_values["keys"][-1]

    @property
    def max_len(self) -> int:
        contexts, keys = self._most
        blocks = contexts * (1 + 2 * keys)
        return blocks + (blocks if self.order is Order.blocks else 3 * contexts * keys)

    @property
    def num_scored(self) -> int:
        contexts, keys = self._most
        return contexts * keys

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """One task for each tested size; without any, tested as trained."""
        untested: dict[str, Any] = {"test_contexts": (), "test_keys": ()}
        sizes = self._tested()
        return tuple(dataclasses.replace(self, contexts=c, keys=k, **untested) for c, k in sizes) or (self,)

    def _tested(self) -> tuple[tuple[int, int], ...]:
        tests = {"test_contexts": self.test_contexts, "test_keys": self.test_keys}
        return side_by_side(tests) if any(value != () for value in tests.values()) else ()

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / (self.vocab_size - self.first_value)

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        """One of the entries, or another one with the same value."""
        right = 1 / (slices["contexts"] * slices["keys"])
        return right + (1 - right) * self.chance(slices)

    def describe_token(self, token: int) -> TokenMeaning:
        if token < FIRST_CONTEXT:
            return TokenMeaning("mark", ("PAD", "|")[token])
        if token < self.first_key:
            return TokenMeaning("context", str(token))
        return TokenMeaning("key" if token < self.first_value else "value", str(token))

    def sample(self, key: PRNGKey) -> Example:
        sizes_key, contexts_key, keys_key, values_key, table_key, questions_key = jax.random.split(key, 6)
        num_contexts, num_keys = self._draw_sizes(sizes_key)
        most_contexts, most_keys = self._most
        contexts = FIRST_CONTEXT + draw_uniform(contexts_key, self._third, most_contexts)
        keys = self.first_key + draw_uniform(keys_key, self._third, most_keys)
        shape = (most_contexts, most_keys)
        values = jax.random.randint(values_key, shape, self.first_value, self.vocab_size, dtype=jnp.int32)
        unordered = Table(contexts, jnp.broadcast_to(keys, shape), values)

        time, end = jnp.arange(self.max_len), num_contexts * (1 + 2 * num_keys)
        table = _block_tokens(_shuffled(table_key, unordered, num_keys), num_keys, time)
        ask = _ask_in_blocks if self.order is Order.blocks else self._ask_one_by_one
        questions = ask(questions_key, unordered, num_contexts, num_keys, time)
        start, used = end + 1, jnp.arange(self.num_scored) < num_contexts * num_keys
        positions = start + questions.positions
        asked = jnp.where(time == end, SEP, questions.tokens[jnp.maximum(time - start, 0)])
        last = jnp.max(jnp.where(used, positions, 0))
        return make_example(
            tokens=jnp.where(time <= last, jnp.where(time < end, table, asked), PAD),
            positions=positions,
            targets=questions.targets,
            used=used,
            slices={"contexts": num_contexts, "keys": num_keys},
        )

    def _draw_sizes(self, key: PRNGKey) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Draw a number of contexts and one of keys."""
        sizes = [jnp.array(values) for values in self.slice_values.values()]
        contexts_key, keys_key = jax.random.split(key)
        return jax.random.choice(contexts_key, sizes[0]), jax.random.choice(keys_key, sizes[1])

    def _ask_one_by_one(
        self,
        key: PRNGKey,
        table: Table,
        num_contexts: Int[Array, ""],
        num_keys: Int[Array, ""],
        time: Int[Array, "T"],
    ) -> Questions:
        """Three tokens for each entry: the parts and the value, due at the second part."""
        order_key, first_key = jax.random.split(key)
        most_contexts, most_keys = self._most
        used = (jnp.arange(most_contexts) < num_contexts)[:, None] & (jnp.arange(most_keys) < num_keys)
        entry = draw_among(order_key, used.reshape(-1), self.num_scored)
        context, name = table.contexts[entry // most_keys], table.keys.reshape(-1)[entry]
        value = table.values.reshape(-1)[entry]
        swapped = self._draw_swapped(first_key)
        parts = [jnp.where(swapped, name, context), jnp.where(swapped, context, name), value]
        tokens = jnp.stack(parts, axis=1).reshape(-1)
        return Questions(tokens[time % tokens.size], 3 * jnp.arange(self.num_scored) + 1, value)

    def _draw_swapped(self, key: PRNGKey) -> Bool[Array, "M"]:
        """Of which questions the key is the first part."""
        if self.order is Order.either:
            return jax.random.bernoulli(key, 0.5, (self.num_scored,))
        return jnp.full(self.num_scored, self.order is Order.key_first)


def _shuffled(key: PRNGKey, table: Table, num_keys: Int[Array, ""]) -> Table:
    """The table with the keys in another order after each context."""
    num_rows, most = table.keys.shape
    keys = jax.random.split(key, num_rows)
    order = jax.vmap(lambda key: draw_among(key, jnp.arange(most) < num_keys, most))(keys)
    take = jnp.take_along_axis
    return Table(table.contexts, take(table.keys, order, axis=1), take(table.values, order, axis=1))


def _block_tokens(table: Table, num_keys: Int[Array, ""], time: Int[Array, "T"]) -> Int[Array, "T"]:
    """What stands at each time if all contexts are written with their keys and values."""
    block, place = jnp.divmod(time, 1 + 2 * num_keys)
    block = jnp.minimum(block, table.contexts.size - 1)
    pair = jnp.maximum(place - 1, 0) // 2
    pairs = jnp.where(place % 2 == 1, table.keys[block, pair], table.values[block, pair])
    return jnp.where(place == 0, table.contexts[block], pairs)


def _ask_in_blocks(
    key: PRNGKey, table: Table, num_contexts: Int[Array, ""], num_keys: Int[Array, ""], time: Int[Array, "T"]
) -> Questions:
    """The whole table once more, in another order; a value is due at its key."""
    contexts_key, keys_key = jax.random.split(key)
    rows = draw_among(contexts_key, jnp.arange(table.contexts.size) < num_contexts, table.contexts.size)
    asked = _shuffled(keys_key, Table(*(part[rows] for part in table)), num_keys)
    block, pair = jnp.divmod(jnp.arange(table.values.size), num_keys)
    positions = block * (1 + 2 * num_keys) + 1 + 2 * pair
    targets = asked.values[jnp.minimum(block, table.contexts.size - 1), pair]
    return Questions(_block_tokens(asked, num_keys, time), positions, targets)
