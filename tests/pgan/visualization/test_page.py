import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from pgan.visualization.page import (
    Figure,
    Highlight,
    Page,
    PageError,
    RankingPanel,
    Rankings,
    Section,
    Table,
    data_uri,
    render_html,
    write_html,
)
from pgan.visualization.plots import attribute_bars

EVIL = '<script>alert("x")</script> & "quotes" \'single\''
VOID = {"meta", "img", "br", "hr", "link", "input"}


class ParsedPage(HTMLParser):
    """Checks that every element is closed in turn, and keeps what a test asks about."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend((tag, name, value) for name, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data.strip())

    def cells(self):
        return [text for text in self.text if text]


def grey_image(value=90):
    return np.full((20, 30, 3), value, np.uint8)


def sample_page(word="plain"):
    ranking = RankingPanel(word, grey_image(), 0.5, 2)
    invalid = RankingPanel(word, grey_image(), float("nan"), 0)
    table = Table(word, ["Method", "mAP"], [[word, 61.234], ["x", None]], note=word, strong=[1])
    blocks = [
        table,
        Figure(attribute_bars({"wheel": 50.0}), word, word),
        Figure(grey_image(), word, word, wide=True),
        Rankings({word: (ranking, invalid)}, word),
    ]
    return Page(
        title=word,
        summary=word,
        sections=[Section(word, f"{word}\n\nsecond", blocks), Section("empty")],
        highlights=[Highlight(word, "69.9%", word)],
        made={word: word},
        commands=[word, "make demo"],
    )


def test_page_is_well_formed_and_complete():
    page = ParsedPage(render_html(sample_page()))
    for text in ("61.2", "\N{EN DASH}", "69.9%", "second", "AP 50.0% · first match at rank 2"):
        assert text in page.cells()
    assert any("not scored" in text for text in page.cells())
    assert page.tags.count("img") == 4
    assert page.tags.count("section") == 2


def test_page_fetches_nothing_and_runs_nothing():
    html = render_html(sample_page())
    page = ParsedPage(html)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "srcset")]
    assert sources
    assert all(value.startswith(("data:image/", "#")) for value in sources)
    assert not re.search(r"https?:|url\(|@import", html)
    assert "default-src 'none'" in html
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for value in sources if value.startswith("#")} <= ids


def test_all_text_is_escaped():
    html = render_html(sample_page(EVIL))
    assert "<script" not in html
    page = ParsedPage(html)
    assert "script" not in page.tags
    assert page.cells().count(EVIL) >= 8
    assert ("img", "alt", EVIL) in page.attributes


def test_numbers_are_right_aligned_and_text_is_not():
    table = Table("t", ["a", "b", "c"], [["x", 1.0, 3], ["y", None, 4]])
    assert [table.is_numeric(column) for column in range(3)] == [False, True, True]
    html = render_html(Page("t", "s", [Section("s", blocks=[table])]))
    assert '<td class="number">1.0</td>' in html
    assert '<td class="number">3</td>' in html
    assert "<td>x</td>" in html
    assert Table("t", ["a"], [[float("nan")]], decimals=2).text(np.float32(1.239)) == "1.24"


def test_images_are_unchanged_in_the_page():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, :8] = (200, 30, 30)
    head, data = data_uri(image).split(",")
    assert head == "data:image/jpeg;base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded[..., ::-1].astype(int) - image).max() < 12
    svg = attribute_bars({"wheel": 50.0})
    head, data = data_uri(svg).split(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(data) == svg
    assert data_uri(attribute_bars({"wheel": 50.0}, fmt="png")).startswith("data:image/png")


def test_write_html_is_atomic(tmp_path, monkeypatch):
    path = write_html(tmp_path / "out" / "report.html", sample_page("größe"))
    before = path.read_bytes()
    assert "größe" in before.decode("utf-8")
    bad = Page("t", "s", [Section("s", blocks=[Figure(b"GIF89a", "c", "a")])])
    with pytest.raises(PageError, match="must be SVG, PNG or JPEG"):
        write_html(path, bad)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_raises_for_bad_tables_and_images():
    with pytest.raises(PageError, match="table 't': row 1 has 1 cells for 2 columns"):
        Table("t", ["a", "b"], [[1, 2], [1]])
    with pytest.raises(PageError, match="uint8"):
        data_uri(np.zeros((4, 4, 3)))
