"""Copying: read a string of random letters, then write it out again.

A string of 3 letters; `.` is not scored, and padding follows up to the longest string:

    position   0    1    2    3    4    5    6    7
    token     BOS   c    a    t   SEP   c    a    t
    target     .    .    .    .    c    a    t   EOS

The answer is teacher-forced: whatever the model predicts, it reads the right letters. So each letter after the
first few can be found by looking up what followed the last few letters in the string.

Source: Jelassi et al. 2024, "Repeat After Me: Transformers are Better than State Space Models at Copying"
(arXiv 2402.01032), the copying experiments on synthetic strings; `synthetic_exps/data_utils.py` of its code.
The loss is on the answer and its EOS only, as there. Differences:

- one string per sequence, padded; the original packs strings into training sequences of 220 tokens;
- the whole string is copied; the original's program can also ask for only its first letters.

Lengths default to those of the original's program, 5 to 20 letters. Its figure on longer strings trains on up to
50 letters and tests on up to 1000: `task.max_length=50 task.test_lengths=[50,100,200,400,1000]`. It plots
the share of strings without any error, which records call `exact`.
"""

from dataclasses import dataclass

from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.strings import BOS, SEP, StringConfig, mark
from sandbox.tasks.task import Example


@dataclass(unsafe_hash=True)
class CopyConfig(StringConfig):
    """Copying of strings whose length is uniform over `min_length..max_length`."""

    def sample(self, key: PRNGKey) -> Example:
        string = self.draw_string(key)
        prompt = [mark(BOS), string, mark(SEP)]
        return self.write_answer(prompt, answer=string, slices={"length": string.length})
