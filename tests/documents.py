"""The documents' blocks of code: what is in them, and what each is."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MARK = re.compile(r"<!-- (not run|given|continues): (.+?) -->\s*$", re.DOTALL)
STARTS = ("mdpseg", "make", "pip", "pytest", "python", "python3", "torchrun", "srun", "curl", "docker", "cd", "export")
SHELL = re.compile(rf"^(\$ )?([A-Z_]+=\S+ )*(\S*/bin/)?({'|'.join(STARTS)})( |$)")


@dataclass
class Block:
    """A block of code.

    Attributes:
        document: its file.
        line: of its first line, from 1.
        language: python, yaml, bash, json, text ...; of an indented block bash where it looks like it, else yaml.
        text: its content.
        not_run: why it is not run, from the comment before it; "" where it is.
        given: what it needs in the current folder, from the comment before it.
        before: the code that runs before it: that of the block above where the comment says that it continues it.
    """

    document: Path
    line: int
    language: str
    text: str
    not_run: str = ""
    given: list[str] = field(default_factory=list)
    before: str = ""

    @property
    def name(self) -> str:
        return f"{self.document.name}-{self.line}"


def blocks_of(document: Path) -> list[Block]:
    found: list[Block] = []
    before = ""
    for token in MarkdownIt().parse(document.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            mark = MARK.search(before)
            marks = {mark[1]: mark[2]} if mark else {}
            language = token.info.strip().split(" ")[0] or _language(token.content)
            language = "bash" if language in ("sh", "shell", "console") else language
            block = Block(document, (token.map or [0])[0] + 1, language, token.content, marks.get("not run", ""))
            block.given = re.split(r",\s*", marks["given"]) if "given" in marks else []
            block.before = found[-1].before + found[-1].text if "continues" in marks else ""
            found.append(block)
        before = token.content if token.type == "html_block" else ""
    return found


def _language(text: str) -> str:
    return "bash" if any(SHELL.match(line) for line in text.splitlines()) else "yaml"


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def shell_commands(text: str) -> list[list[str]]:
    """The words of each command of a shell block; continued lines are one, comments and what is printed are none.

    The brackets of a synopsis, such as ``[--out FILE]``, are left out.
    """
    commands = []
    for line in text.replace("\\\n", " ").splitlines():
        if SHELL.match(line.strip()):
            plain = re.sub(r"\$\(.*?\)", "SUBSTITUTED", line.strip().removeprefix("$ "))
            plain = re.sub(r"(?<= )\[([^\]=]*)\]", r"\1", plain)
            commands += [_without_settings(part) for part in _parts(shlex.split(plain, comments=True))]
    return [command for command in commands if command]


def _without_settings(words: list[str]) -> list[str]:
    """Without the NAME=value before a command."""
    return words[1:] and _without_settings(words[1:]) if words and re.match(r"[A-Z_]+=", words[0]) else words


def _parts(words: list[str]) -> list[list[str]]:
    """Commands that `&&`, `;` or a pipe join; an output's file is none."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", ";", "|", "&", "||"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part[: part.index(">")] if ">" in part else part for part in parts]


def mdpseg_arguments(words: list[str]) -> list[str] | None:
    """What follows `mdpseg`, also behind srun, torchrun -m or a path; None where the command is another one."""
    for place, word in enumerate(words):
        if Path(word).name == "mdpseg" and (
            place == 0 or words[0] in ("srun", "nohup", "time") or words[place - 1] == "-m"
        ):
            return words[place + 1 :]
    return None
