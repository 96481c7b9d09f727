"""Texts of users in figures: letter by letter, in a font that has the letter, and how wide they get."""

import functools
import re
from collections.abc import Iterable

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.textpath import text_to_path

from sandbox.short_names import shortened

FAMILY = "DejaVu Sans"
"""The font of figures, which comes with matplotlib."""

NO_GLYPH = "\N{REPLACEMENT CHARACTER}"
"""Stands for a letter that no font has."""

_OF_NO_USE = re.compile(r"cm\w+10|STIX(NonUnicode|Size)|Last Resort|.*Color Emoji")
"""Families of formulas under the codes of letters, of one box for all letters, or of pictures."""

_REGULAR = (400, "normal", "regular")

_NAMED = 3  # texts that a note names


def families(texts: Iterable[str]) -> list[str]:
    """The font of figures, and installed ones that have letters of the texts that those before lack."""
    return _cover(frozenset().union(*texts))[0]


def drawable(text: str) -> str:
    """The text as a figure shows it: in the fonts that it is drawn in, and not hidden from a legend by a `_`."""
    in_use = mpl.rcParams["font.family"]
    letters = (letter if any(_has(family, letter) for family in in_use) else NO_GLYPH for letter in text)
    return "\N{ZERO WIDTH SPACE}" * text.startswith("_") + "".join(letters)


def without_glyph(texts: Iterable[str]) -> list[str]:
    """A line that names the texts with letters that no font has, and these letters; none if there are none."""
    texts = list(dict.fromkeys(texts))
    missing = _cover(frozenset().union(*texts))[1]
    if not missing:
        return []
    found = [text for text in texts if missing & set(text)]
    names = [shortened(text) for text in found if not any(other in text for other in found if other != text)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    letters = " ".join(sorted(missing))
    return [f"figures: no font here has {letters}, drawn as {NO_GLYPH} in {', '.join(names[:_NAMED])}{more}"]


def text_width(text: str, size: float | int) -> float:
    """The width in inches of one line of text; `size` is that of the font, in points."""
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0] / 72


def _cover(letters: frozenset[str]) -> tuple[list[str], set[str]]:
    """The families to draw these letters in, and the letters that none has."""
    chosen, missing = [FAMILY], {letter for letter in letters if not _has(FAMILY, letter)}
    for family in _installed() if missing else ():
        found = {letter for letter in missing if _has(family, letter)}
        chosen += [family] if found else []
        missing -= found
    return chosen, missing


def _installed() -> list[str]:
    """The families that have an upright font of regular weight for text, those without serifs first."""
    upright = (font for font in fontManager.ttflist if font.style == "normal" and font.weight in _REGULAR)
    names = {font.name for font in upright if not _OF_NO_USE.match(font.name)}
    return sorted(names, key=lambda name: ("Sans" not in name, name))


@functools.cache
def _has(family: str, letter: str) -> bool:
    """Whether the upright font of a family has an outline for the letter."""
    try:
        font = get_font(findfont(FontProperties(family=family), fallback_to_default=False))
    except (OSError, RuntimeError, ValueError):  # gone since matplotlib listed it, or of an unknown kind
        return False
    return font.scalable and font.get_char_index(ord(letter)) > 0
