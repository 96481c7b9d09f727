"""When members of a population had learned, from their evaluations."""

from collections.abc import Sequence

import pandas as pd


def steps_to_learn(evaluations: pd.DataFrame, member: Sequence[str], threshold: float, most: int) -> pd.DataFrame:
    """One row per member: whether and when its accuracy was first at least `threshold`.

    Args:
        evaluations: rows with `step` and `validation_accuracy`; see `sandbox.tables.collect_curves`.
        member: the columns that identify a member.
        threshold: the validation accuracy at which a member counts as having learned, 0 to 1.
        most: the steps that a member may take, `train.steps`.

    Returns:
        The columns `member`, `learned`, `steps` and `accuracy`, the last validation accuracy. A member that never
        learned has the steps `most`, also if it stopped earlier because it diverged.
    """
    by = [*member]
    ordered = evaluations.sort_values("step", kind="stable")
    last = ordered.groupby(by, sort=False)[["validation_accuracy"]].last()
    first = ordered[ordered["validation_accuracy"] >= threshold].groupby(by, sort=False)["step"].first()
    table = last.rename(columns={"validation_accuracy": "accuracy"}).join(first.rename("first"))
    table = table.assign(learned=table["first"].notna(), steps=table["first"].fillna(most).astype(int))
    return table[["learned", "steps", "accuracy"]].reset_index()


def at_best_rate(members: pd.DataFrame, side: Sequence[str]) -> pd.DataFrame:
    """The rows of `steps_to_learn` at the best learning rate of each group of members.

    `side` are the columns that tell groups apart. The best rate has the highest last accuracy, averaged over seeds
    and rounded to 0.001, since members stop when they have solved a task; if rates tie, the one with the fewest
    steps on average.
    """
    by = [*side, "learning_rate"]
    means = members.groupby(by, as_index=False, sort=False)[["accuracy", "steps"]].mean()
    means["accuracy"] = means["accuracy"].round(3)
    best = means.sort_values(["accuracy", "steps"], ascending=[False, True], kind="stable")
    return members.merge(best.drop_duplicates([*side])[by])
