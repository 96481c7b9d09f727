"""The vocabulary of most recall tasks: token 0, then keys, then values."""

from dataclasses import dataclass
from typing import ClassVar

from sandbox.option_checks import check_needs, check_whole_number
from sandbox.tasks.task import TaskConfig, TokenMeaning


@dataclass(unsafe_hash=True)
class KeyValueConfig(TaskConfig):
    """Base of tasks whose vocabulary is token 0, keys for the rest of the lower half, values in the upper half."""

    answers_follow: ClassVar[bool] = True
    zero_name: ClassVar[str] = "0"
    """How token 0 is written."""

    vocab_size: int = 256
    """Number of tokens: 0 is padding and filler, keys are the rest of the lower half, values the upper."""

    def __post_init__(self) -> None:
        check_whole_number("task.vocab_size", self.vocab_size, least=4)
        super().__post_init__()

    @property
    def num_keys(self) -> int:
        """Keys are the tokens 1 to `num_keys`."""
        return self.vocab_size // 2 - 1

    @property
    def first_value(self) -> int:
        """Values are the tokens from this one on."""
        return self.vocab_size // 2

    @property
    def num_values(self) -> int:
        """Number of values, at least one more than keys."""
        return self.vocab_size - self.first_value

    def describe_token(self, token: int) -> TokenMeaning:
        if token == 0:
            return TokenMeaning("mark", self.zero_name)
        return TokenMeaning("key" if token < self.first_value else "value", str(token))

    def check_keys_suffice(self, pairs: int, pairs_key: str) -> None:
        """Reject more pairs than there are keys; `pairs_key` is the option that asks for them."""
        check_needs(f"{pairs_key}={pairs}", "task.vocab_size", self.vocab_size, 2 * pairs + 2, "2 x pairs + 2")
