"""When members of a population had learned, from their evaluations."""

from collections.abc import Sequence

import pandas as pd


def steps_to_learn(evaluations: pd.DataFrame, member: Sequence[str], threshold: float) -> pd.DataFrame:
    """One row per member: whether and when its accuracy was first at least `threshold`.

    Args:
        evaluations: rows with `step` and `validation_accuracy`; see `sandbox.tables.collect_curves`.
        member: the columns that identify a member.
        threshold: the validation accuracy at which a member counts as having learned, 0 to 1.

    Returns:
        The columns `member`, `learned`, `steps` and `accuracy`, the last validation accuracy. A member that never
        learned has the step of its last evaluation: its `steps` are censored there.
    """
    by = [*member]
    ordered = evaluations.sort_values("step", kind="stable")
    last = ordered.groupby(by, sort=False)[["step", "validation_accuracy"]].last()
    first = ordered[ordered["validation_accuracy"] >= threshold].groupby(by, sort=False)["step"].first()
    table = last.rename(columns={"validation_accuracy": "accuracy"}).join(first.rename("first"))
    table = table.assign(learned=table["first"].notna(), steps=table["first"].fillna(table["step"]).astype(int))
    return table[["learned", "steps", "accuracy"]].reset_index()
