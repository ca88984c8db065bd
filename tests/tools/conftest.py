"""Tools that a sweep calls, without starting Python anew for each."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from tests.tools.tiny_sweeps import Tools


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    """What runs the commands of a sweep in this process, and remembers them."""
    tools = Tools()
    monkeypatch.setattr("pgan.experiments.sweeps.runs.run_command", tools.command)
    # Laid out nicely again and again, configs would take most of a tiny run's time.
    monkeypatch.setattr(Config, "pretty_text", property(lambda config: repr(config)))
    return tools
