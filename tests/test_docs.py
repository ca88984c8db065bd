"""The documentation names only what exists: files, links, commands, options, configs and imports."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import sys
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest
import yaml

from pgan.cli import command

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "data/*.md", "docs/**/*.md", "configs/*/README.md")
    for page in ROOT.glob(pattern)
)
METAFILES = sorted(ROOT.glob("configs/*/metafile.yml"))
TOP_PACKAGES = ("detector", "pgan", "fleet")
NOT_IN_THE_REPOSITORY = ("data/", "work_dirs/", "site/")

FENCE = re.compile(r"^[ ]*```(\w*)[^\n]*\n(.*?)^[ ]*```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
CONFIG = re.compile(r"configs/[\w./-]+?\.py")
FILE = re.compile(r"(?:detector|pgan|tools|tests|docs|configs|requirements|data/fleet)/[\w./-]*")
DOTTED = re.compile(r"(?:detector|pgan)(?:\.\w+)+")


class Command(NamedTuple):
    """A command line of the documentation: a tool's subcommand and its arguments."""

    tool: str
    arguments: list[str]
    line: str


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_fences(text: str) -> str:
    return FENCE.sub("", text)


def fences(page: Path, *languages: str) -> list[str]:
    return [
        dedent(body) for language, body in FENCE.findall(text_of(page)) if language in languages
    ]


def spans(page: Path) -> list[str]:
    return [" ".join(span.split()) for span in SPAN.findall(without_fences(text_of(page)))]


def anchors(page: Path) -> set[str]:
    titles = (
        re.sub(r"[`*]", "", title) for title in HEADING.findall(without_fences(text_of(page)))
    )
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def shell_lines(page: Path) -> list[str]:
    lines = [
        line
        for body in fences(page, "sh")
        for line in body.replace("\\\n", " ").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    return [*lines, *spans(page)]


def commands(page: Path) -> list[Command]:
    """Return the command lines that call a tool, as ``pgan TOOL`` or ``tools/TOOL.py``."""
    found = []
    for line in shell_lines(page):
        if not re.search(r"\bpgan [a-z]|tools/\w+\.py ", line):
            continue
        with contextlib.suppress(ValueError):  # a span with an odd quote is no command
            words = shlex.split(line, comments=True)
            for place, word in enumerate(words):
                script = re.fullmatch(r"tools/(\w+)\.py", word)
                if script and place and script[1] != "setup_env":
                    found.append(Command(script[1].replace("_", "-"), words[place + 1 :], line))
                elif word == "pgan" and words[place + 1 :] and not place:
                    found.append(Command(words[1], words[2:], line))
    return found


@cache
def usage(*arguments: str) -> str:
    """Return the usage lines that ``pgan TOOL [SUBCOMMAND] --help`` prints."""
    before, output = sys.argv, io.StringIO()
    try:
        with contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            command.main([*arguments, "--help"])
    finally:
        sys.argv = before
    return output.getvalue().partition("\n\n")[0]


def subcommands(tool: str) -> list[str]:
    choices = re.search(r"\{([\w,\s-]+)\}\s*\.\.\.", usage(tool))
    return choices[1].replace("\n", "").replace(" ", "").split(",") if choices else []


def module_file(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    if module.split(".")[0] == "fleet":
        path = ROOT / "data" / module.replace(".", "/")
    return next(
        (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None
    )


def names_in(file: Path) -> set[str]:
    """Return the names that a module defines or imports at its top level, or lists in ``__all__``."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
            if "__all__" in names and isinstance(node.value, ast.List):
                names |= {str(ast.literal_eval(item)) for item in node.value.elts}
    return names


def resolves(dotted: str) -> bool:
    """Return whether a dotted name is a module, or a name within one."""
    if module_file(dotted):
        return True
    module, _, attribute = dotted.rpartition(".")
    file = module_file(module) if module else None
    if file:
        return attribute in names_in(file)
    return bool(module) and "." in module and resolves(module)  # an attribute of a class


def test_pages_are_found() -> None:
    assert len(PAGES) > 20
    assert METAFILES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_to_existing_files_and_headings(page: Path) -> None:
    for link in LINK.findall(without_fences(text_of(page))):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{name(page)} links to {link}"
        if anchor:
            assert anchor in anchors(file), f"{name(page)} links to {link}: {sorted(anchors(file))}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_their_options_exist(page: Path) -> None:
    for tool, arguments, line in commands(page):
        where = f"{name(page)}: {line}"
        assert tool in command.tool_files(), f"{where}: no tool {tool}"
        known = {"--help", *OPTION.findall(usage(tool))}
        choices = subcommands(tool)
        if choices and arguments and arguments[0].islower():  # not a placeholder such as COMMAND
            assert arguments[0] in choices, f"{where}: no subcommand {arguments[0]}"
            known |= set(OPTION.findall(usage(tool, arguments[0])))
        options = {word.partition("=")[0] for word in arguments if OPTION.match(word)}
        assert options <= known, f"{where}: unknown options {sorted(options - known)}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(
        re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = {match[1] for line in shell_lines(page) if (match := re.match(r"make (\w+)", line))}
    assert named <= targets, f"{name(page)}: {sorted(named - targets)}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_configs_exist(page: Path) -> None:
    for config in CONFIG.findall(text_of(page)):
        if "my_" not in config:
            assert (ROOT / config).exists(), f"{name(page)} names {config}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_files_and_dotted_names_exist(page: Path) -> None:
    for span in spans(page):
        if (
            FILE.fullmatch(span)
            and "my_" not in span
            and not span.startswith(NOT_IN_THE_REPOSITORY)
        ):
            assert (ROOT / span).exists(), f"{name(page)} names {span}"
        if DOTTED.fullmatch(span) and not span.endswith((".py", ".pth", ".onnx", "__version__")):
            assert resolves(span), f"{name(page)} names {span}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_snippets_compile_and_their_imports_exist(page: Path) -> None:
    for snippet in fences(page, "python"):
        for node in ast.walk(ast.parse(snippet)):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            if node.module.split(".")[0] in TOP_PACKAGES:
                file = module_file(node.module)
                assert file, f"{name(page)} imports {node.module}"
                for alias in node.names:
                    assert resolves(f"{node.module}.{alias.name}"), (
                        f"{name(page)} imports {alias.name}"
                    )


def test_moved_modules_of_the_changelog_exist() -> None:
    moved = text_of(ROOT / "CHANGELOG.md").partition("### Moved modules")[2]
    rows = re.findall(r"^\| `([\w.*]+)` \| `([\w.*]+)` \|$", moved, re.MULTILINE)
    assert len(rows) > 20
    for old, new in rows:
        assert module_file(new.removesuffix(".*")), f"{old} -> {new}"


@pytest.mark.parametrize("metafile", METAFILES, ids=name)
def test_metafile_lists_every_config_of_its_folder(metafile: Path) -> None:
    content = yaml.safe_load(text_of(metafile))
    collections = {collection["Name"] for collection in content["Collections"]}
    for collection in content["Collections"]:
        assert (ROOT / collection["README"]).exists()
        assert (ROOT / collection["Code"]["URL"]).exists()
    for model in content["Models"]:
        assert model["In Collection"] in collections
        assert model["Name"] == Path(model["Config"]).stem
    listed = {ROOT / model["Config"] for model in content["Models"]}
    folder = metafile.parent
    configs = {
        file for file in folder.rglob("*.py") if "_base_" not in file.relative_to(folder).parts
    }
    assert listed == configs


def test_model_index_imports_every_metafile() -> None:
    index = yaml.safe_load((ROOT / "model-index.yml").read_text(encoding="utf-8"))
    assert {ROOT / file for file in index["Import"]} == set(METAFILES)


def test_citation_has_the_required_keys() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    version = re.search(r'__version__ = "(.+)"', text_of(ROOT / "pgan" / "__init__.py"))
    assert version
    assert citation["version"] == version[1]
