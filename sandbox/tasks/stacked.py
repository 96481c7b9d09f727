"""Stacked recall: key and value stand in one position, so that a single layer without a convolution can recall.

Two pairs, 3 keys and 4 values; a token is written key:value, `-` is no part, and `.` is not scored:

    position    0     1     2     3
    written    2:4   1:3   1:-   2:-
    token       14     8     5    10
    target      .     .      3     4

The vocabulary is all combinations: token = key x (values + 1) + value, with part 0 for none. So a query is a
bare key, its target a bare value, and token 0 is padding.

In `mqar` a key and its value are two positions, so a convolution or a layer of attention has to bring them
together before they can be looked up. Here each position has both, and one layer of attention, or one state that
is updated with outer products, is enough.

Source: the code of Zoology (Arora et al. 2023, arXiv 2312.04927), `zoology/data/stacked_mqar.py` ("continuous"
MQAR). There a position is the concatenation of a key's and a value's embedding, both frozen, with a
query's second half zero, and the loss is over the values alone. Differences:

- models here read one token per position, and so learn an embedding for each combination: it must also
  learn from data that (2, 4) and (2, -) share a key. Vocabularies are kept small for that reason;
- the readout is over all tokens, of which bare values are a few;
- several numbers of pairs may be mixed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_needs, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.mixture import Difficulty, MixtureConfig
from sandbox.tasks.parts.scoring import make_example
from sandbox.tasks.parts.without_replacement import draw_among, draw_uniform
from sandbox.tasks.task import Example, TokenMeaning


@dataclass(unsafe_hash=True)
class StackedConfig(MixtureConfig):
    """Recall with key and value in one position, over a mixture of numbers of pairs."""

    num_keys: int = 16
    """Number of different keys; the vocabulary has (num_keys + 1) x (num_values + 1) tokens."""
    num_values: int = 16
    """Number of different values."""
    num_passes: int = 1
    """Number of times the context lists the pairs, in another order each time."""

    def __post_init__(self) -> None:
        for name in ("num_keys", "num_values", "num_passes"):
            check_whole_number(f"task.{name}", getattr(self, name), least=1)
        super().__post_init__()

    def check_difficulty(self, difficulty: Difficulty, length_key: str, pairs_key: str) -> None:
        """Reject more pairs than there are keys or values."""
        for name in ("num_keys", "num_values"):
            asking = f"{pairs_key}={difficulty.pairs}"
            check_needs(asking, f"task.{name}", getattr(self, name), difficulty.pairs)

    def length_of(self, pairs: int) -> int:
        """A position for each pair in each pass, and one for each query."""
        return (self.num_passes + 1) * pairs

    @property
    def vocab_size(self) -> int:
        return (self.num_keys + 1) * (self.num_values + 1)

    def describe_token(self, token: int) -> TokenMeaning:
        key, value = divmod(token, self.num_values + 1)
        kinds = {(False, False): "mark", (True, False): "key", (False, True): "value", (True, True): "pair"}
        return TokenMeaning(kinds[key > 0, value > 0], f"{key or '-'}:{value or '-'}")

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.num_values

    def sample(self, key: PRNGKey) -> Example:
        difficulty_key, keys_key, values_key, order_key = jax.random.split(key, 4)
        length, pairs = self.draw_difficulty(difficulty_key)
        bare_keys = (1 + draw_uniform(keys_key, self.num_keys, self.most_pairs)) * (self.num_values + 1)
        values = 1 + draw_uniform(values_key, self.num_values, self.most_pairs)
        used = jnp.arange(self.most_pairs) < pairs

        def draw_order(key: PRNGKey) -> Int[Array, "M"]:
            return draw_among(key, used, self.most_pairs)

        orders = jax.vmap(draw_order)(jax.random.split(order_key, self.num_passes + 1))
        time = jnp.arange(self.max_len)
        this_pass = time // pairs
        pair = orders[jnp.minimum(this_pass, self.num_passes), time % pairs]
        tokens = bare_keys[pair] + jnp.where(this_pass < self.num_passes, values[pair], 0)
        return make_example(
            tokens=jnp.where(time < length, tokens, 0),
            positions=self.num_passes * pairs + jnp.arange(self.most_pairs),
            targets=values[orders[self.num_passes]],
            used=used,
            slices={"length": length, "pairs": pairs},
        )
