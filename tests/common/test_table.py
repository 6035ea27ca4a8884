"""One table gives the same rows as text, as Markdown and as HTML."""

from __future__ import annotations

from sscn_triton.common.table import Table

TABLE = Table(["name", "a < b"], [["x & y", "1"], ["2018: sparse", "10,000"]])


def test_text_is_aligned_under_a_ruler() -> None:
    assert TABLE.text().splitlines() == [
        "name           a < b",
        "------------  ------",
        "x & y              1",
        "2018: sparse  10,000",
    ]


def test_markdown_has_one_cell_per_column_and_may_have_no_rows() -> None:
    assert TABLE.markdown() == "| name | a < b |\n| --- | --- |\n| x & y | 1 |\n| 2018: sparse | 10,000 |"
    assert Table(["name", "a"], []).markdown() == "| name | a |\n| --- | --- |"
    assert Table(["name", "a"], []).text() == "name  a\n----  -"


def test_html_is_escaped_and_published_rows_are_marked() -> None:
    assert TABLE.html() == (
        '<div class="scroll"><table><thead><tr><th>name</th><th>a &lt; b</th></tr></thead><tbody>'
        "<tr><td>x &amp; y</td><td>1</td></tr>"
        '<tr class="published"><td>2018: sparse</td><td>10,000</td></tr></tbody></table></div>'
    )
