"""`sandbox-inspect outputs/quickstart/3f2a9c81b0d2`: a look inside the trained model of a finished run.

Writes figures, their tables and a page: the implicit attention of each layer, the half-lives that its gates set,
recall by how far back the answer lies and what was written since, and what its memory holds over time.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox.cli.options import Parser, add_formats, positive

if TYPE_CHECKING:
    from sandbox.probes import TrainedModel


def main(argv: Sequence[str] | None = None) -> int:
    """Prints what is seen, and the files written. Exits with 2 for wrong input."""
    parser = Parser(prog="sandbox-inspect", description=__doc__)
    add = parser.add_argument
    add("run", type=pathlib.Path, help="the folder of a finished run")
    text = "learning rate of the member (default: the one that validation chose)"
    add("--learning-rate", type=float, metavar="RATE", help=text)
    add("--seed", type=int, metavar="N", help="seed of the member (default: the first)")
    text = "test sequences that are looked at; recall is of a whole batch of them (default: %(default)s)"
    add("--sequences", type=positive, default=16, metavar="N", help=text)
    add("-o", "--out", type=pathlib.Path, metavar="DIR", help="folder to write to (default: inside/ in the run's)")
    add_formats(parser)
    args = parser.parse_args(argv)

    # Not at the top: importing jax takes a second, which --help should not.
    from sandbox.cli.startup import show_damage_as_lines, use_compile_cache
    from sandbox.errors import InputError
    from sandbox.probes import load_trained

    show_damage_as_lines(parser.prog)
    use_compile_cache()
    try:
        trained = load_trained(args.run, learning_rate=args.learning_rate, seed=args.seed)
        for line in _look(args, trained):
            print(line)
    except (InputError, OSError) as error:
        parser.error(str(error))
    return 0


def _look(args: argparse.Namespace, trained: "TrainedModel") -> list[str]:
    """Writes the figures and the page; the lines to print."""
    from sandbox.probes.look import look_inside
    from sandbox.report.drawing import check_formats, draw_all
    from sandbox.report.inside import (
        attention_figure,
        gates_figure,
        half_lives_figure,
        recall_figure,
        render_inside,
    )
    from sandbox.report.inside_memory import (
        held_figure,
        keys_figure,
        rank_figure,
        singular_values_figure,
        writes_figure,
    )

    check_formats(args.formats)
    folder = args.out or args.run / "inside"
    folder.mkdir(parents=True, exist_ok=True)
    look = look_inside(trained, args.sequences)
    summaries = {
        layer: f"on the answer {summary.on_answer:.2f}, entropy {summary.entropy:.2f}"
        for layer, summary in look.summaries.items()
    }
    figures = {
        "attention": lambda: attention_figure(look.weights, look.tokens, summaries, look.asked),
        "half_lives": lambda: half_lives_figure(look.half_lives, len(look.tokens)),
        "gates": lambda: gates_figure(look.half_lives, look.tokens),
        "recall": lambda: recall_figure(look.recall, look.chance),
        "held": lambda: held_figure(look.held),
        "rank": lambda: rank_figure(look.ranks, look.rows),
        "singular_values": lambda: singular_values_figure(look.singular_values),
        "writes": lambda: writes_figure(look.writes, look.tokens),
        "keys": lambda: keys_figure(look.alike, look.tokens),
    }
    drawn = draw_all(figures, folder, args.formats, look.tokens)
    about = f"{trained.config.resolved_label}, learning rate {trained.learning_rate:g}, seed {trained.seed}"
    if look.recall:
        about += f"; right after they were written {look.captured:.1%} of the answers are right"
        about += f", and {look.kept:.1%} of these also where they are asked" if look.captured else ""
    page = folder / "inside.html"
    title = f"Inside {args.run.resolve().name}"
    page.write_text(render_inside(title, about, drawn.drawings, drawn.notes), encoding="utf-8")
    lines = [about, *(f"layer {layer + 1}: {text}" for layer, text in summaries.items())]
    return [*lines, *drawn.notes, *(f"wrote {path}" for path in [*drawn.files, page])]
