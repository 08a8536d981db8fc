"""HTML: what users and files wrote cannot become anything but text."""

from html.parser import HTMLParser

import pytest
from tanren.ui.html import Html, clean, join, link, render

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</span></div><iframe src=javascript:alert(1)>",
    "{name}",
    "{0.__class__}",
    "&lt;b&gt;",
    "javascript:alert(1)",
    "<!--",
    "]]><svg/onload=alert(1)>",
    "`\\u0022",
]


class Seen(HTMLParser):
    """Elements with their attributes, and the text, as a browser understands them."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.elements, self.text = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_comment(self, data):
        self.elements.append(("comment", {}))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("payload", PAYLOADS)
def test_value_stays_text_in_text_and_in_an_attribute(payload):
    seen = Seen(render('<div title="{name}"><b>{name}</b></div>', name=payload))

    assert seen.elements == [("div", {"title": payload}), ("b", {})]
    assert seen.text == payload


def test_built_fragments_nest_and_everything_else_is_escaped_once():
    inner = render("<b>{text}</b>", text="a < b")

    assert render("<p>{inner}</p>", inner=inner) == "<p><b>a &lt; b</b></p>"
    assert render("<p>{inner}</p>", inner=[inner, inner]) == "<p><b>a &lt; b</b><b>a &lt; b</b></p>"
    assert render("<p>{inner}</p>", inner=inner + "<i>") == "<p>&lt;b&gt;a &amp;lt; b&lt;/b&gt;&lt;i&gt;</p>"
    assert join([inner, Html("")]) == inner


def test_fragment_in_an_attribute_is_text_too():
    page = render('<p title="{inner}"></p>', inner=render("<b>{text}</b>", text='"'))

    assert Seen(page).elements == [("p", {"title": "<b>&quot;</b>"})]


def test_list_of_plain_texts_is_refused():
    with pytest.raises(TypeError, match="str was not built by render"):
        render("<p>{inner}</p>", inner=["<b>"])


def test_control_and_direction_marks_are_taken_out():
    assert clean("safe\u202egnp.exe\x00\x1b[31m\u2066\n\tend\u2028\ud800") == "safegnp.exe[31m\n\tend"
    assert clean("鍛錬 é 👩‍🎨") == "鍛錬 é 👩‍🎨"


def test_long_text_is_cut():
    assert render("{text}", text="x" * 10_001) == "x" * 10_000 + "…"
    assert render("{text}", text="x" * 10_000) == "x" * 10_000


@pytest.mark.parametrize(
    "template",
    [
        "<script>{x}</script>",
        "<style>{x}</style>",
        "<iframe></iframe>{x}",
        "<svg>{x}</svg>",
        "<p title={x}></p>",
        "<p title='{x}'></p>",
        "<p {x}></p>",
        "<{x}></{x}>",
        "<!-- {x} -->",
        '<p onclick="{x}"></p>',
        '<p onclick="go()">{x}</p>',
        '<p style="{x}"></p>',
        '<p srcdoc="{x}"></p>',
        '<button formaction="{x}"></button>',
        '<p href="a{x}"></p>',
        '<a href="{x}">without rel</a>',
        '<a href="javascript:go()" target="_blank" rel="noopener noreferrer">{x}</a>',
        '<p class="a" class="{x}"></p>',
        '<p type="{x}"></p>',
        "<p>{x.real}</p>",
        "<p>{x!r}</p>",
        "<p>{x:>3}</p>",
        "<p>{}</p>{x}",
        "<p>{x}</p> < 3",
        "{x}\x00",
    ],
)
def test_unsafe_template_is_a_fault_whatever_the_value_is(template):
    with pytest.raises(ValueError):
        render(template, x="harmless")


def test_names_and_values_must_be_the_same():
    with pytest.raises(ValueError, match=r"needs \['x'\], and got \['y'\]"):
        render("{x}", y=1)


@pytest.mark.parametrize("address", ["https://example.org/a?b=1&c", "http://[::1]:8000/", "http://localhost"])
def test_link_leads_to_the_web(address):
    assert Seen(link(address, "go")).elements == [
        ("a", {"href": address, "target": "_blank", "rel": "noopener noreferrer"})
    ]


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "//evil.example",
        "https:/\\evil.example",
        "https://",
        "http://[bad",
        "",
    ],
)
def test_link_with_another_address_is_only_text(address):
    assert link(address, "go") == "go"


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:image/png,x", "https://example.org/x.png", "//e.x/y"])
def test_picture_from_elsewhere_is_not_asked_for(address):
    assert Seen(render('<img src="{x}" alt="">', x=address)).elements == [("img", {"src": "#", "alt": ""})]


def test_picture_of_this_place_is_shown():
    page = render('<img src="{x}" alt="">', x="tanren/api/jobs/1/sample/a.png?v=2")

    assert Seen(page).elements == [("img", {"src": "tanren/api/jobs/1/sample/a.png?v=2", "alt": ""})]


def test_numbers_and_braces():
    assert render("<p>{{{n}}} {f}</p>", n=3, f=0.5) == "<p>{3} 0.5</p>"
