import pandas as pd

from sandbox.report.learned import at_best_rate, steps_to_learn


def test_steps_to_learn_are_those_of_the_first_evaluation_above_the_threshold():
    evaluations = pd.DataFrame(
        [
            ("early", 100, 0.5),
            ("early", 300, 0.8),  # falls back after it had learned
            ("early", 200, 0.95),
            ("early", 250, 0.97),
            ("exact", 100, 0.9),
            ("never", 100, 0.1),
            ("never", 400, 0.89),
        ],
        columns=["seed", "step", "validation_accuracy"],
    )
    table = steps_to_learn(evaluations, ["seed"], 0.9, 1000).set_index("seed")
    assert table.to_dict("index") == {
        "early": {"learned": True, "steps": 200, "accuracy": 0.8},
        "exact": {"learned": True, "steps": 100, "accuracy": 0.9},
        "never": {"learned": False, "steps": 1000, "accuracy": 0.89},
    }


def test_the_best_rate_is_the_most_accurate_and_of_equal_ones_the_fastest():
    rows = [
        ("fast", 0.1, 0, 300, 1.0),
        ("fast", 0.1, 1, 500, 0.9996),
        ("fast", 0.3, 0, 100, 1.0),
        ("fast", 0.3, 1, 300, 1.0),
        ("fast", 0.9, 0, 100, 0.9),
        ("fast", 0.9, 1, 100, 0.9),
        ("lone", 0.1, 0, 700, 0.5),
    ]
    members = pd.DataFrame(rows, columns=["label", "learning_rate", "seed", "steps", "accuracy"])
    best = at_best_rate(members, ["label"])
    assert best[["label", "learning_rate", "seed"]].values.tolist() == [
        ["fast", 0.3, 0],
        ["fast", 0.3, 1],
        ["lone", 0.1, 0],
    ]
