"""The rule by which an answer with a dear grammar ends."""

from functions.inference.engine.grammar_watch import HARMLESS_S, GrammarWatch


def tokens_until_it_ends(watch: GrammarWatch, cost_s: float, most: int = 5000) -> int:
    excess_s = 0.0
    for token in range(most):
        excess_s = watch.excess(excess_s, cost_s)
        if excess_s > watch.grace_s:
            return token
    return most


def watching(step_s: float, median_s: float) -> GrammarWatch:
    watch = GrammarWatch()
    for _ in range(200):
        watch.decoded(step_s)
        watch.excess(0.0, median_s)
    return watch


def test_ten_times_the_median_is_the_limit() -> None:
    watch = watching(step_s=0.020, median_s=0.0004)
    assert watch.limit_s == 10 * 0.0004
    assert tokens_until_it_ends(watch, 0.0039) == 5000
    assert tokens_until_it_ends(watching(step_s=0.020, median_s=0.0004), 0.020) < 20


def test_others_take_no_more_than_half_as_long_again_whatever_the_median() -> None:
    watch = watching(step_s=0.002, median_s=0.100)  # all that run are costly
    assert watch.limit_s == 0.001
    assert tokens_until_it_ends(watch, 0.002) < 60


def test_what_nobody_notices_ends_no_answer() -> None:
    assert watching(step_s=0.0001, median_s=0.000001).limit_s == HARMLESS_S
    assert tokens_until_it_ends(watching(step_s=0.020, median_s=0.000001), 0.0019) == 5000


def test_slow_tokens_of_a_busy_machine_end_no_answer() -> None:
    """Three in a row, or one in ten."""
    watch, excess_s = watching(step_s=0.0005, median_s=0.00002), 0.0
    for _ in range(3):
        excess_s = watch.excess(excess_s, 0.100)
    assert excess_s < watch.grace_s
    excess_s = 0.0
    for token in range(500):
        excess_s = watch.excess(excess_s, 0.00002 if token % 10 else 0.100)
        assert excess_s < watch.grace_s
