"""What the tools' command lines share: config keys to override, and numbers of 1 or more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmengine.config import DictAction


class Options(DictAction):
    """``--cfg-options KEY=VALUE ...``: mmengine's, but a text of another form is named, not a traceback."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Add to the options that the namespace has."""
        for text in values:
            if text.find("=") < 1:
                parser.error(f"{option_string} {text}: write KEY=VALUE, such as num_parts=4")
            try:
                super().__call__(parser, namespace, [text], option_string)
            except (AssertionError, ValueError) as error:
                parser.error(f"{option_string} {text}: {error}")


def count(text: str) -> int:
    """A whole number of 1 or more, as argparse's ``type``."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {text}")
    return number
