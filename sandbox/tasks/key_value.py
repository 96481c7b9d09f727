"""The vocabulary of keys and values that most recall tasks share: token 0, then keys, then values."""

from sandbox.option_checks import check_whole_number
from sandbox.tasks.task import TaskConfig, TokenMeaning


class KeyValueConfig(TaskConfig):
    """Base of tasks whose vocabulary is token 0, keys for the rest of the lower half, values in the upper half.

    A subclass declares `vocab_size` as a field.
    """

    zero_name = "0"
    """How token 0 is written."""

    def __post_init__(self) -> None:
        """Refuse vocabularies without a key."""
        check_whole_number("task.vocab_size", self.vocab_size, minimum=4)

    @property
    def num_keys(self) -> int:
        """Keys are the tokens 1 to `num_keys`."""
        return self.vocab_size // 2 - 1

    @property
    def first_value(self) -> int:
        """Values are the tokens from here on."""
        return self.vocab_size // 2

    @property
    def num_values(self) -> int:
        """How many of them there are: at least one more than keys."""
        return self.vocab_size - self.first_value

    def describe_token(self, token: int) -> TokenMeaning:
        """Token 0, keys and values."""
        if token == 0:
            return TokenMeaning("mark", self.zero_name)
        return TokenMeaning("key" if token < self.first_value else "value", str(token))

    def refuse_more_pairs_than_keys(self, pairs: int, pairs_name: str) -> None:
        """Refuse more pairs than there are keys; `pairs_name` names the option that asks for them."""
        if pairs > self.num_keys:
            raise ValueError(
                f"task.{pairs_name}={pairs} needs task.vocab_size >= {2 * pairs + 2} (2 x pairs + 2), "
                f"got task.vocab_size={self.vocab_size}"
            )
