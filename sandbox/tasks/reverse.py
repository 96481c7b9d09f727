"""Reversal: read a string of random letters, then write it out backwards.

A string of 3 letters; `.` is not scored, and padding follows up to the longest string:

    position   0    1    2    3    4    5    6    7
    token     BOS   c    a    t   SEP   t    a    c
    target     .    .    .    .    t    a    c   EOS

The answer is teacher-forced: whatever the model predicts, it reads the right letters. A model that copies looks up
what followed the last few letters; here it looks up what stood before them.

Source: Delétang et al. 2023, "Neural Networks and the Chomsky Hierarchy" (arXiv 2207.02098), "reverse string";
`tasks/dcf/reverse_string.py` of its code. The layout, the alphabet and the lengths are those of `copy`, so that
the two can be compared. Differences:

- the original asks with as many blank tokens as the string has letters, and shows no letter of the answer;
- it has an alphabet of 2 and no EOS, trains on 1 to 40 letters and tests on up to 500.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.strings import BOS, SEP, Piece, StringConfig, mark
from sandbox.tasks.task import Example


@dataclass(unsafe_hash=True)
class ReverseConfig(StringConfig):
    """Reversal of strings whose length is uniform over `min_length..max_length`."""

    answers_follow: ClassVar[bool] = False

    def sample(self, key: PRNGKey) -> Example:
        string = self.draw_string(key)
        backwards = Piece(jnp.roll(jnp.flip(string.tokens), string.length), string.length)
        prompt = [mark(BOS), string, mark(SEP)]
        return self.write_answer(prompt, answer=backwards, slices={"length": string.length})
