"""Multi-hop recall: links lead from name to name; where does following several of them end?

Two chains of two links, 3 → 7 → 4 and 5 → 9 → 6, vocabulary 10 (hops 1 and 2, then names 3..9); `.` is not
scored:

    position   0   1   2   3   4   5   6   7   8   9
    token      7   4   5   9   3   7   9   6   2   3
    target     .   .   .   .   .   .   .   .   .   4

The links of all chains come in random order; then one question: the number of hops, and the name to start from,
which is any that has so many links before it ends. A second hop needs the answer of the first, as a second
lookup: a layer each, or a memory that composes links as it reads them.

Source: defined here, after the multi-hop lookups of Peng et al. 2024, "On Limitations of the Transformer
Architecture" (arXiv 2402.08164), and the variable tracking of Hsieh et al. 2024, "RULER" (arXiv 2404.06654).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_needs, check_order, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.number_or_list import entries
from sandbox.tasks.parts.without_replacement import draw_uniform
from sandbox.tasks.task import Example, TaskConfig, TokenMeaning


@dataclass(unsafe_hash=True)
class MultiHopConfig(TaskConfig):
    """The end of a number of hops along a chain, all numbers in `hops` equally likely."""

    vocab_size: int = 64
    """Number of tokens: 0 is not used, then the numbers of hops, then names."""
    hops: Any = (1, 2, 3)
    """Links to follow (int or list of int)."""
    num_chains: int = 4
    """Chains of a sequence."""
    chain_length: int = 4
    """Links of a chain, at least as many as the most hops."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vocab_size", "num_chains", "chain_length"):
            check_whole_number(f"task.{name}", getattr(self, name), least=1)
        if self.hops == ():
            raise ValueError("task.hops=[] must have at least one entry")
        for key, hops in entries("task.hops", self.hops):
            check_whole_number(key, hops, least=1)
            check_order(key, hops, "task.chain_length", self.chain_length)
        asking = f"task.num_chains={self.num_chains}, task.chain_length={self.chain_length}"
        least = self.first_name + self.num_chains * (self.chain_length + 1)
        check_needs(asking, "task.vocab_size", self.vocab_size, least, "1 + most hops + chains x (links + 1)")

    @property
    def numbers_of_hops(self) -> tuple[int, ...]:
        """The different numbers of hops, ascending."""
        return tuple(sorted({hops for _, hops in entries("task.hops", self.hops)}))

    @property
    def first_name(self) -> int:
        """Names are the tokens from this one on."""
        return 1 + self.numbers_of_hops[-1]

    @property
    def num_links(self) -> int:
        """Links of all chains."""
        return self.num_chains * self.chain_length

    @property
    def max_len(self) -> int:
        return 2 * self.num_links + 2

    @property
    def num_scored(self) -> int:
        return 1

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        return {"hops": self.numbers_of_hops}

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / (self.vocab_size - self.first_name)

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        """One of the ends of links."""
        return 1 / self.num_links

    def describe_token(self, token: int) -> TokenMeaning:
        if token == 0:
            return TokenMeaning("mark", "0")
        return TokenMeaning("hops", f"{token}x") if token < self.first_name else TokenMeaning("name", str(token))

    def sample(self, key: PRNGKey) -> Example:
        names_key, order_key, hops_key, chain_key, start_key = jax.random.split(key, 5)
        num_names = self.num_chains * (self.chain_length + 1)
        drawn = draw_uniform(names_key, self.vocab_size - self.first_name, num_names)
        names = (self.first_name + drawn).reshape(self.num_chains, self.chain_length + 1)
        links = jnp.stack([names[:, :-1], names[:, 1:]], axis=-1).reshape(-1, 2)
        order = jax.random.permutation(order_key, self.num_links)
        hops = jnp.array(self.numbers_of_hops)[jax.random.randint(hops_key, (), 0, len(self.numbers_of_hops))]
        chain = jax.random.randint(chain_key, (), 0, self.num_chains)
        start = jax.random.randint(start_key, (), 0, self.chain_length - hops + 1)
        question = jnp.stack([hops, names[chain, start]])
        return Example(
            tokens=jnp.concatenate([links[order].reshape(-1), question]).astype(jnp.int32),
            positions=jnp.array([self.max_len - 1]),
            targets=names[chain, start + hops][None],
            weights=jnp.ones(1),
            slices={"hops": hops},
        )
