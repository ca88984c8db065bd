"""Markdown extension for docstrings: shows examples that start with ``>>>`` as code."""

from __future__ import annotations

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.config.defaults import MkDocsConfig

FENCE = "```"


class DoctestFences(Preprocessor):
    """Puts a fence around each doctest, from its first ``>>>`` to the next empty line."""

    def run(self, lines: list[str]) -> list[str]:
        """Return the lines with fences."""
        fenced = in_doctest = False
        result = []
        for line in lines:
            text = line.lstrip()
            if text.startswith(FENCE):
                fenced = not fenced
            if text.startswith(">>> ") and len(line) - len(text) < 4 and not (fenced or in_doctest):
                in_doctest = True
                result.append(f"{FENCE}pycon")
            elif in_doctest and not text:
                in_doctest = False
                result.append(FENCE)
            if (
                text != "::"
            ):  # reStructuredText's mark of a literal block, which Markdown does without
                result.append(line)
        return [*result, FENCE] if in_doctest else result


class DoctestExtension(Extension):
    """Registers `DoctestFences` before the extension that reads fences."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802  # the name that Markdown calls
        """Add the preprocessor."""
        md.preprocessors.register(DoctestFences(md), "doctest_fences", 200)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the extension to those of the site; mkdocstrings uses the same."""
    config.markdown_extensions.append(DoctestExtension())
    return config
