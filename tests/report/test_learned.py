import pandas as pd

from sandbox.report.learned import steps_to_learn


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
    table = steps_to_learn(evaluations, ["seed"], 0.9).set_index("seed")
    assert table.to_dict("index") == {
        "early": {"learned": True, "steps": 200, "accuracy": 0.8},
        "exact": {"learned": True, "steps": 100, "accuracy": 0.9},
        "never": {"learned": False, "steps": 400, "accuracy": 0.89},
    }
