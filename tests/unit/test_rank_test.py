"""The statistic of the timing test finds a difference where there is one, and only there."""

import random
from itertools import combinations

import pytest

from tests.rank_test import mann_whitney


def test_the_p_value_equals_the_exact_permutation_test() -> None:
    xs = [19.0, 22.0, 16.0, 29.0, 24.0, 20.0, 27.0, 18.0]
    ys = [20.0, 11.0, 17.0, 12.0, 13.0, 15.0, 21.0, 19.5]
    values = xs + ys
    ranks = [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]
    middle = sum(ranks) / 2
    away = abs(sum(ranks[:8]) - middle)
    sums = [sum(hand) for hand in combinations(ranks, 8)]
    exact = sum(abs(each - middle) >= away for each in sums) / len(sums)
    assert mann_whitney(xs, ys) == mann_whitney(ys, xs) == pytest.approx(exact, abs=0.005)


def test_samples_of_one_distribution_seldom_differ() -> None:
    chance = random.Random(1)
    found = [mann_whitney(*([chance.expovariate(1) for _ in range(60)] for _ in range(2))) for _ in range(1000)]
    assert 0.03 < sum(p < 0.05 for p in found) / 1000 < 0.07


def test_a_missing_password_hash_is_detected_in_much_noise() -> None:
    chance = random.Random(2)
    slow = [20 + chance.expovariate(1 / 15) for _ in range(80)]
    quick = [chance.expovariate(1 / 15) for _ in range(80)]
    assert mann_whitney(slow, quick) < 1e-9


def test_equal_values_are_no_difference() -> None:
    assert mann_whitney([1.0] * 30, [1.0] * 30) == 1.0
