"""What a sweep trains and tests: points, each a config with options, and the grids that make them."""

from __future__ import annotations

import difflib
import inspect
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgan.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.config import Config

SEED = "randomness.seed"
NOTHING = object()


@dataclass(frozen=True)
class Point:
    """A line of a sweep's table.

    Attributes:
        values: Column -> what this point has there; the first is the axis of the plot.
        config: Config file.
        options: Config keys to change.
        test_options: Those of the test alone: points that differ in nothing else share a training run.
        reference: Whether it stands beside the sweep, as a baseline does: it is never the best point.
        published: Whose numbers -> metric, named as ours -> their value in percent.
    """

    values: Mapping[str, Any]
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    test_options: Mapping[str, Any] = field(default_factory=dict)
    reference: bool = False
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name for people, such as ``'num_parts=8, feature_dim=256'``."""
        return ", ".join(
            f"{key}={_words(value)}" for key, value in self.values.items() if value is not None
        )


@dataclass(frozen=True)
class Sweep:
    """Points, each of which is trained and tested once per seed.

    Attributes:
        title: What is compared.
        points: In the order of the table.
        seeds: Of the models.
        options: Config keys to change in all points; a point's own come after them.
        name: Of its table and plot, as files.
        keep_features: Whether each test keeps its features, for ``tools/evaluate.py``.
        tested: Whether there are tests; without them the training runs only leave checkpoints.
    """

    title: str
    points: Sequence[Point]
    seeds: Sequence[int] = (0,)
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = "sweep"
    keep_features: bool = False
    tested: bool = True

    @property
    def columns(self) -> list[str]:
        """What the points differ in."""
        return list(dict.fromkeys(column for point in self.points for column in point.values))

    def check(self) -> None:
        """Read every config with its options, so that a mistake ends the sweep before it begins.

        Raises:
            ConfigError: No points or seeds, two points of one name, or options that a config has no place
                for.
        """
        if not self.points or not self.seeds:
            raise ConfigError("a sweep needs at least one point and one seed")
        repeatable: dict[str, list[Any]] = {
            "points": [point.name for point in self.points],
            "seeds": list(self.seeds),
        }
        for what, names in repeatable.items():
            if twice := [name for name in names if names.count(name) > 1]:
                raise ConfigError(f"two {what} of a sweep are {twice[0]!r}: leave one out")
        from pgan.apis import load_config

        known: dict[str, Config] = {}
        for point in self.points:
            plain = known.get(point.config) or load_config(point.config)
            known[point.config] = plain
            for key, value in {**self.options, **point.options, **point.test_options}.items():
                _check_option(plain, point.config, key, value)


def grid(
    configs: Sequence[str],
    settings: Mapping[str, Sequence[Any]],
    test_settings: Mapping[str, Sequence[Any]] | None = None,
    baseline: str | None = None,
) -> list[Point]:
    """Every config with every combination of settings.

    Args:
        configs: Config files; with several, the file's name is a column of its own, the last one.
        settings: Config key -> its values; each combination is a training run.
        test_settings: The same for keys that only affect the test: such points share a training run.
        baseline: A config that is run as it is, beside the others.

    Raises:
        ConfigError: Nothing to choose between, or a key in both settings.
    """
    tested = dict(test_settings or {})
    if not configs:
        raise ConfigError("a sweep needs a config")
    if len(configs) == 1 and not settings and not tested and baseline is None:
        raise ConfigError(
            "there is nothing to sweep over: give --set KEY=V1,V2,... or more configs"
        )
    if both := settings.keys() & tested.keys():
        raise ConfigError(f"{both.pop()} is given to --set and to --set-test: give it to one")
    keys = [*settings, *tested]
    points = []
    for config in configs:
        for chosen in itertools.product(*settings.values(), *tested.values()):
            options = dict(zip(keys, chosen))
            values = {_column(key): value for key, value in options.items()}
            if len(configs) > 1 or not keys:
                values["config"] = Path(config).stem
            test_options = {key: options.pop(key) for key in tested}
            points.append(Point(values, config, options, test_options))
    if baseline is not None:
        first, *others = points[0].values
        values = {first: "baseline", **dict.fromkeys(others)}
        points.append(Point(values, baseline, reference=True))
    return points


def parse_settings(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Read ``KEY=V1,V2,...``, the values as ``--cfg-options`` reads them.

    Raises:
        ConfigError: Another form, no value, or a key given twice.
    """
    settings: dict[str, list[Any]] = {}
    for text in texts:
        key, found, values = text.partition("=")
        parts = _split(values)
        if not found or not key or not all(parts):
            raise ConfigError(f"{text!r} is not understood: write KEY=V1,V2,...")
        if key in settings:
            raise ConfigError(f"{key} is given twice: write all its values after one KEY=")
        settings[key] = [_parse_value(part) for part in parts]
    return settings


def option_words(options: Mapping[str, Any]) -> list[str]:
    """Options as ``--cfg-options`` takes them.

    Raises:
        ConfigError: A value that would be read back as another.
    """
    words = []
    for key, value in options.items():
        text = _words(value)
        if not all(_split(text)) or _parse_value(text) != value:
            raise ConfigError(
                f"{key}={value!r} cannot be written on a command line, where spaces, commas and brackets "
                "mean something: put it in a config"
            )
        words.append(f"{key}={text}")
    return words


def _parse_value(text: str) -> Any:
    from mmengine.config import DictAction

    return DictAction._parse_iterable(text)


def lookup(cfg: Config, key: str) -> Any:
    """What a config has under a dotted key, `NOTHING` if it has no such key."""
    node: Any = cfg
    for name in key.split("."):
        if isinstance(node, (list, tuple)) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif hasattr(node, "keys") and name in node:
            node = node[name]
        else:
            return NOTHING
    return node


def _words(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket; an empty one where the text makes no sense."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if depth < 0:
            return [""]
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts if depth == 0 else [""]


def _column(key: str) -> str:
    return re.sub(r"^model\.(loss_weights\.)?", "", key)


def _check_option(cfg: Config, config: str, key: str, value: Any) -> None:
    option_words({key: value})
    parent, _, last = key.rpartition(".")
    if lookup(cfg, key) is not NOTHING or last in _arguments(lookup(cfg, parent)):
        return
    options = {*_keys(cfg.to_dict()), *(f"model.{name}" for name in _arguments(cfg.get("model")))}
    near = difflib.get_close_matches(key, sorted(options), n=1)
    hint = f": do you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{key}: {config} has no such key{hint}")


def _arguments(node: Any) -> set[str]:
    """Arguments of the class that a config names, its parents' included."""
    from pgan.registry import MODELS

    kind = node.get("type") if isinstance(node, Mapping) else None
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if not inspect.isclass(model):
        return set()
    constructors = (getattr(cls, "__init__") for cls in model.__mro__)  # noqa: B009 - for mypy
    return {name for init in constructors for name in inspect.signature(init).parameters}


def _keys(node: Mapping, prefix: str = "") -> Iterable[str]:
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{name}.")
