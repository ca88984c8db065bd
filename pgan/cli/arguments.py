"""Command-line arguments: config overrides as in OpenMMLab, and positive integers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


class ArgumentParser(argparse.ArgumentParser):
    """An argument parser that keeps the layout of the tool's docstring and reads ``--cfg-options``.

    mmengine converts the values of ``--cfg-options`` after all other arguments are parsed, since importing it
    takes seconds: ``--help`` and a mistyped option are answered without it.

    Args:
        description: Text above the options, the tool's ``__doc__``.
        **options: Options of `argparse.ArgumentParser`.

    >>> parser = ArgumentParser("A tool.", prog="tool")
    >>> parser.add_cfg_options()
    >>> parser.parse_args(["--cfg-options", "num_parts=4", "size=(128,256)"]).cfg_options
    {'num_parts': 4, 'size': (128, 256)}
    """

    def __init__(self, description: str | None = None, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(description=description, **options)

    def add_cfg_options(self, help: str = "override config keys, e.g. num_parts=4") -> None:
        """Add ``--cfg-options KEY=VALUE ...``; parsed, it is a dict, or None if it is not given."""
        self.add_argument(
            "--cfg-options", nargs="+", action="extend", metavar="KEY=VALUE", help=help
        )

    def parse_args(  # type: ignore[override]  # argparse overloads it by the namespace's type
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse the arguments, then convert the values of ``--cfg-options``."""
        parsed = super().parse_args(args, namespace)
        if getattr(parsed, "cfg_options", None):
            parsed.cfg_options = self._convert(parsed.cfg_options)
        return parsed

    def _convert(self, texts: Sequence[str]) -> dict[str, Any]:
        from mmengine.config import DictAction

        converted = argparse.Namespace(cfg_options=None)
        convert = DictAction(["--cfg-options"], "cfg_options", nargs="+")
        for text in texts:
            if text.find("=") < 1:
                self.error(f"--cfg-options {text}: write KEY=VALUE, such as num_parts=4")
            try:
                convert(self, converted, [text])
            except (AssertionError, ValueError) as error:
                self.error(f"--cfg-options {text}: {error}")
        return converted.cfg_options


def positive_int(text: str) -> int:
    """Convert an argument to an integer of at least 1; used as argparse's ``type``.

    >>> positive_int("20")
    20
    """
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number
