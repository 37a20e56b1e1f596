from pathlib import Path

import pytest

from streams.core.policy import WEIGHTS, Policy, SpendModel, ValueModel
from streams.policy import PolicyError, load_policy, save_value

GOOD = """
half_life = 20
red = 45
critical = ["owner"]

[weights]
sentiment = 30

[segments."at risk"]
survey = 40

[roles]
owner = 5

[value]
r = 0.3
unit_days = 1

[value.spend.IRR]
p = 1.5
q = 2
v = 3.5
high = 1e9
"""


def test_what_the_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(GOOD)
    policy = load_policy(file)
    assert (policy.half_life, policy.red, policy.amber) == (20.0, 45, 75)
    assert policy.weights == {**WEIGHTS, "sentiment": 30}
    assert policy.weights_of("at risk")[1] > policy.weights_of("")[1]
    assert policy.roles == {"owner": 5.0}
    assert policy.critical == frozenset({"owner"})
    assert (policy.value.r, policy.value.alpha) == (0.3, 4.414)
    assert policy.value.spend["IRR"].high == 1e9


def test_without_a_file_the_defaults_hold() -> None:
    assert load_policy(None) == Policy()
    assert sum(WEIGHTS.values()) == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("half_lif = 3", "half_lif: is not known; known: weights, "),
        ("half_life = 0", "half_life: is 0; give a number above 0"),
        ('contact_window = "a"', "contact_window: is 'a'; give a number of zero or more"),
        ("contact_window = 1.5", "contact_window: Expected `int`, got `float`"),
        ("red = 80", "red, amber: need 0 ≤ red < amber < 100"),
        ("weights = 3", "weights: is not a table; write it as [weights]"),
        ("[weights]\nsentimnt = 3", "weights.sentimnt: is not known; known: sentiment, "),
        ("[weights]\nsurvey = -1", "weights.survey: is -1; give a number of zero or more"),
        ("[weights]\nsurvey = nan", "weights.survey: is nan; give a number"),
        ("[weights]\nsurvey = true", "weights.survey: is True; give a number"),
        ("[segments.vip]\nsurvey = 1", "segments.vip: is not known; known: devotee, "),
        ("[segments.lost]\nx = 1", "segments.lost.x: is not known"),
        ("[value.spend.USD]\np = 1", "value.spend.USD.q: is missing; run `journey fit-value`"),
        ("a =", "is not TOML: "),
        (
            "[weights]\n" + "\n".join(f"{name} = 0" for name in WEIGHTS),
            "weights: every weight is zero",
        ),
    ],
)
def test_mistakes_name_the_file_the_key_and_the_fix(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(PolicyError) as caught:
        load_policy(file)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none\.toml: No such file .*; create it or unset"):
        load_policy(tmp_path / "none.toml")


FITTED = ValueModel(0.5, 4.0, 0.7, 2.0, spend={"USD": SpendModel(6.0, 3.0, 15.0, 900.0)})


def test_a_fitted_value_replaces_only_the_value_tables(tmp_path: Path) -> None:
    path = tmp_path / "health.toml"
    path.write_text(
        "# ours\nred = 40\n\n[value]\nr = 9.0 # old\n\n[value.spend.EUR]\np = 1\nq = 2\nv = 3\n"
        'high = 4\n\n# who matters\n[roles]\nuser = 2\n\n[segments."at risk"]\nsurvey = 1\n'
    )
    save_value(path, FITTED)
    policy = load_policy(path)
    assert policy.value == FITTED
    assert (policy.red, policy.roles, policy.segments) == (
        40,
        {"user": 2},
        {"at risk": {"survey": 1}},
    )
    text = path.read_text()
    assert text.startswith("# ours\nred = 40\n\n# who matters\n[roles]\n")
    save_value(path, FITTED)
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_fitted_value_makes_a_file_of_its_own(tmp_path: Path) -> None:
    save_value(tmp_path / "new.toml", FITTED)
    assert load_policy(tmp_path / "new.toml").value == FITTED


@pytest.mark.parametrize("source", ["value = { r = 1.0 }\n", "value.r = 1.0\n"])
def test_a_value_that_is_no_table_is_left_alone(tmp_path: Path, source: str) -> None:
    path = tmp_path / "health.toml"
    path.write_text(source)
    with pytest.raises(PolicyError, match=r"\[value\]"):
        save_value(path, FITTED)
    assert path.read_text() == source
