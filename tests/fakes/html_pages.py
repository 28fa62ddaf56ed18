"""A page as a browser's parser sees it: its elements, their attributes and its text."""

from __future__ import annotations

from html.parser import HTMLParser

WITHOUT_END = {"meta"}


class Page(HTMLParser):
    """The parsed page; every element must be closed, and in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.comments: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], self._open

    @property
    def text(self) -> str:
        """All text, that of the style sheet left out."""
        return "".join(self.texts)

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        """Elements and the names of their attributes, in the order of the page."""
        return [(tag, list(attributes)) for tag, attributes in self.elements]

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in WITHOUT_END:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def assert_loads_nothing(page: Page) -> None:
    """No element and no attribute that could fetch, run or send anything, and a policy that forbids it."""
    policies = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies
    assert policies[0].startswith("default-src 'none'; style-src 'unsafe-inline'")
    forbidden = {
        "script",
        "link",
        "img",
        "image",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "use",
        "a",
        "video",
        "audio",
    }
    assert not forbidden & {tag for tag, _ in page.elements}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {"src", "href", "xlink:href", "srcset", "action", "data"} & names
    assert not [name for name in names if name.startswith("on")]
