"""How often a random expression is 0 modulo m, which is its likeliest value.

Uniform numbers modulo m, and their sums and products, take all values x with the same gcd(x, m) equally often. So
the distribution of such an X follows from its characteristic function at the divisors k of m:

    f(k) = E exp(2πi k X / m),  which other multipliers share with their gcd with m

It is [k = m] for a uniform X, the same for X and -X, and for independent X and Y:

    sum       f_X(k) f_Y(k)
    product   Σ_e P(gcd(X, m) = e) f_Y(gcd(k e, m)),  over the divisors e of m

It is never negative, and P(X = x) is the mean of f(k) exp(-2πi k x / m) over all k modulo m: largest at x = 0.
"""

import functools

import numpy as np
from jaxtyping import Float, Int

Characteristic = Float[np.ndarray, "*n D"]
"""f at the divisors of m, ascending."""


class Residues:
    """The numbers modulo m, in classes of the same gcd with m."""

    def __init__(self, modulus: int):
        gcd = np.gcd(np.arange(modulus), modulus)
        self.divisors, self.class_of = np.unique(gcd, return_inverse=True)
        self.sizes: Int[np.ndarray, D] = np.bincount(self.class_of)
        self.class_of_product = self.class_of[np.outer(self.divisors, self.divisors) % modulus]
        self.uniform: Characteristic = (self.divisors == modulus).astype(float)

    def product(self, x: Characteristic, y: Characteristic) -> Characteristic:
        """The characteristic function of a product."""
        shares = np.fft.ifft(x[..., self.class_of]).real[..., self.divisors % len(self.class_of)] * self.sizes
        return np.sum(shares[..., None, :] * y[..., self.class_of_product], axis=-1)

    def zero(self, x: Characteristic) -> Float[np.ndarray, "*n"]:
        """The probability of 0."""
        return x @ self.sizes / len(self.class_of)


@functools.cache
def flat_zeros(count: int, modulus: int, times: float) -> Float[np.ndarray, " n"]:
    """P(value = 0) of 1, ..., `count` numbers with operators between them, each * with probability `times`."""
    residues = Residues(modulus)
    terms = [residues.uniform]  # of 1, 2, ... factors
    for _ in range(count - 1):
        terms.append(residues.product(residues.uniform, terms[-1]))
    values = [np.ones_like(residues.uniform)]  # of 0, 1, ... numbers
    for numbers in range(1, count + 1):
        last_terms = [times**factors * terms[factors] * values[-1 - factors] for factors in range(numbers)]
        last_terms = [(1 - times) * term for term in last_terms[:-1]] + last_terms[-1:]
        values.append(np.sum(last_terms, axis=0))
    return residues.zero(np.array(values[1:]))


@functools.cache
def bracketed_zeros(length: int, modulus: int, times: float) -> Float[np.ndarray, " n"]:
    """P(value = 0) of expressions of 1, ..., `length` tokens as `draw_bracketed` draws them."""
    residues = Residues(modulus)
    values = np.tile(residues.uniform, (length, 1))  # up to 4 tokens: one number
    for tokens in range(5, length + 1):
        left = values[: tokens - 4]
        right = left[::-1]  # together the tokens without two brackets and the operator
        values[tokens - 1] = np.mean((1 - times) * left * right + times * residues.product(left, right), axis=0)
    return residues.zero(values)
