"""The chapters of the lesson, in reading order."""

from chapters.chapter import Chapter
from chapters.costs import HANDING_OVER, SIMULATOR, TWO_CURVES
from chapters.inside import DECAY, SHARP_OR_SMOOTH
from chapters.programs import CHUNKS, SQUARE, TWO_ORDERS
from chapters.recall import FAMILY, MORE_PAIRS, WHICH_MODEL
from chapters.state import RUNNING_STATE

CHAPTERS: tuple[Chapter, ...] = (
    TWO_CURVES,
    SQUARE,
    TWO_ORDERS,
    RUNNING_STATE,
    SHARP_OR_SMOOTH,
    MORE_PAIRS,
    SIMULATOR,
    DECAY,
    FAMILY,
    CHUNKS,
    WHICH_MODEL,
    HANDING_OVER,
)
