"""Numbers as laboratories write them."""

import pytest

from wine_ui import units


@pytest.mark.parametrize(
    ("typed", "number"),
    [("10.5", 10.5), ("10,5", 10.5), (" 7 ", 7.0), ("1 000", 1000.0), ("", None), (None, None), ("-1", -1.0)],
)
def test_numbers_are_read_as_laboratories_write_them(typed: str | None, number: float | None) -> None:
    """Decimal point or comma; nothing is nothing."""
    assert units.read_number(typed) == number


@pytest.mark.parametrize("typed", ["abc", "1,2,3", "1e999", "nan", "5 g/L", "1.000,5"])
def test_what_is_no_number_is_never_guessed(typed: str) -> None:
    """It is refused, with the text."""
    with pytest.raises(units.NotANumber):
        units.read_number(typed)
