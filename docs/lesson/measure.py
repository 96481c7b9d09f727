"""Measures tables of the lesson anew: `python docs/lesson/measure.py square` writes `data/square.csv`.

Counted tables are the same on every machine; timed ones are not, and trained ones need a minute or more.
"""

import argparse
import pathlib

from measurements import counted, timed, trained

DATA = pathlib.Path(__file__).with_name("data")
TABLES = counted.TABLES | timed.TABLES | trained.TABLES


def main() -> None:
    """Writes the tables that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", choices=TABLES, metavar="TABLE", help=", ".join(TABLES))
    for name in parser.parse_args().tables:
        TABLES[name]().to_csv(DATA / f"{name}.csv", index=False, float_format="%.5g", lineterminator="\n")


if __name__ == "__main__":
    main()
