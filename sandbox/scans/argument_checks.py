"""What the public functions say of an argument whose shape is wrong: one line that names it."""

from jaxtyping import Array


def read_dims(name: str, array: Array, letters: str) -> dict[str, int]:
    """The size of every axis, by its letter. There must be at least one token (T)."""
    if array.ndim != len(letters):
        raise ValueError(f"{name} has shape {array.shape}, expected [{', '.join(letters)}]")
    dims = dict(zip(letters, array.shape, strict=True))
    if dims["T"] == 0:
        raise ValueError(f"{name} has shape {array.shape}, expected at least one token (T >= 1)")
    return dims


def check_shape(name: str, array: Array | None, letters: str, dims: dict[str, int]) -> None:
    """Refuses an array whose axes have other sizes than the letters stand for; None has no shape to check."""
    expected = tuple(dims[letter] for letter in letters)
    if array is not None and array.shape != expected:
        raise ValueError(f"{name} has shape {array.shape}, expected [{', '.join(letters)}] = {expected}")
