"""`Prefer: wait=N` is read as RFC 7240 says; what is unknown or malformed is ignored."""

import pytest

from sluice.http.prefer import wait_seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=30", 30),
        ("WAIT=30", 30),
        (" wait = 30 ", 30),
        ("wait\t=\t30", 30),
        ('wait="30"', 30),
        ("wait=030", 30),
        ("wait=0", 0),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=" + "9" * 8000, 60),
        ("wait=30; strict", 30),
        ("wait=30;a=b; c", 30),
        ("respond-async, wait=10", 10),
        ("handling=lenient;x=1,wait=10,return=minimal", 10),
        ('x="a, wait=1", wait=2', 2),
        (r'x="\", wait=1", wait=2', 2),
        (", ,, wait=7,", 7),
        ("wait=5, wait=9", 5),
        ("wait=abc, wait=9", 0),  # only the first counts, and it says nothing
        ("wait", 0),
        ("wait=", 0),
        ('wait=""', 0),
        ('wait="30', 0),
        ('wait=30"', 0),
        ("wait=-1", 0),
        ("wait=+1", 0),
        ("wait=1.5", 0),
        ("wait=1e1", 0),
        ("wait=٣", 0),
        ("wait=5 6", 0),
        ("wait 5", 0),
        ("waiting=5", 0),
        ('"wait"=5', 0),
        ("x;wait=5", 0),  # a parameter of another preference
        ("", 0),
        (";;;===,,,", 0),
        ('"' * 8000 + "wait=5", 0),
    ],
)
def test_the_first_wait_counts_up_to_a_minute(header: str, seconds: int) -> None:
    assert wait_seconds(header) == seconds
