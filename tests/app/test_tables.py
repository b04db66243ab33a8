"""Tables leave as CSV in base units, and never as a formula."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from ortlab.ui.table_view import Column, to_csv

COLUMNS = (Column("name", "Node"), Column("p50_us", "p50", "time"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_no_cell_of_a_csv_begins_like_a_formula(name: str) -> None:
    text = to_csv([{"name": name, "p50_us": 1.5}], COLUMNS)
    cell = list(csv.reader(io.StringIO(text)))[1][0]
    assert not cell.startswith(("=", "+", "-", "@"))
    assert cell.lstrip("'") == name.lstrip("'")


def test_csv_holds_full_precision_in_base_units_under_the_key_that_names_them() -> None:
    text = to_csv([{"name": "a", "p50_us": 1234.56789}, {"name": "b", "p50_us": None}], COLUMNS)
    assert text == "name,p50_us\na,1234.56789\nb,\n"


def test_a_negative_number_stays_a_number() -> None:
    assert to_csv([{"name": "a", "p50_us": -3.5}], COLUMNS).endswith("a,-3.5\n")
