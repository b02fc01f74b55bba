"""The documents' blocks of code: what is in them, what each is, and which are not run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MARK = re.compile(r"<!-- (given|continues): (.+?) -->\s*$", re.DOTALL)
STARTS = ("mdpseg", "make", "pip", "pytest", "python", "python3", "torchrun", "srun", "curl", "docker", "cd", "export")
SHELL = re.compile(rf"^(\$ )?([A-Z_]+=\S+ )*(\S*/bin/)?({'|'.join(STARTS)})( |$)")

SETS_UP = "installs packages from the internet"
BY_CI = "a target of the Makefile, which is what CI does"
FOR_HOURS = "runs for hours over the photographs of ../shared/data"
FULL_SIZE = "probes networks of full size; tests/tables/test_estimate.py runs it with one row"
MANY_GPUS = "needs a cluster; tests/engine/test_many_processes.py and test_two_nodes.py run several processes"
ANOTHER_LIBRARY = "another library's own code"

# (page, how a line of the block begins) -> why it is not run. Of a shell block each line counts by itself, of any other
# block its first line. Their commands' options, make's targets, extras and files are still looked at.
NOT_RUN = {
    ("README.md", "make "): BY_CI,
    ("README.md", "python3 -m venv"): SETS_UP,
    ("README.md", ".venv/bin/pip install"): SETS_UP,
    ("README.md", ".venv/bin/mdpseg demo"): "takes 3 minutes; tests/engine/test_demo.py runs it with fewer steps",
    ("README.md", "OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 .venv/bin/pytest"): "all tests, this one too",
    ("CONTRIBUTING.md", "make "): BY_CI,
    ("CONTRIBUTING.md", "cli -> engine"): "a drawing",
    ("coming-from.md", "# my_config.py"): ANOTHER_LIBRARY,
    ("coming-from.md", "import lightly_train"): ANOTHER_LIBRARY,
    ("export.md", "OMP_NUM_THREADS=1 python benchmarks/exports.py"): "a benchmark: minutes, with nothing beside it",
    ("investigation.md", "python benchmarks/"): FOR_HOURS,
    ("investigation.md", "mdpseg tables run"): FOR_HOURS,
    ("investigation.md", "git checkout"): "another commit",
    ("logging.md", "pip install"): SETS_UP,
    ("logging.md", "tensorboard --logdir"): "another project's server; what it reads is asserted to be there",
    ("results.md", "mdpseg tables run"): FOR_HOURS,
    ("running.md", "mdpseg pretrain pretrain.yaml --devices 8"): MANY_GPUS,
    ("running.md", "torchrun"): MANY_GPUS,
    ("running.md", "RESUME="): MANY_GPUS,
    ("running.md", "srun"): MANY_GPUS,
    ("scaling.md", "step = FLOPs"): "formulas, no code",
    ("serve.md", "pip install"): SETS_UP,
    ("serve.md", "three-worlds (28 classes"): "what the line above prints",
    ("start.md", "python3 -m venv"): SETS_UP,
    ("start.md", ".venv/bin/pip install"): SETS_UP,
    ("tables.md", "mdpseg tables run --preset paper"): FULL_SIZE,
}


@dataclass
class Block:
    """A block of code.

    Attributes:
        document: its file.
        line: of its first line, from 1.
        language: python, yaml, bash, json, text ...; of an indented block bash where it looks like it, else yaml.
        text: its content.
        given: what it needs in the current folder, from the comment before it.
        before: the code that runs before it: that of the block above where the comment says that it continues it.
    """

    document: Path
    line: int
    language: str
    text: str
    given: list[str] = field(default_factory=list)
    before: str = ""

    @property
    def name(self) -> str:
        return f"{self.document.name}-{self.line}"

    def steps(self) -> list[str]:
        """What is run of it by itself: each line of a shell block; of any other its first line stands for all."""
        if self.language == "bash":
            return command_lines(self.text)
        return [" ".join(self.text.strip().splitlines()[0].split())]

    def why_not(self, step: str) -> str | None:
        """Why one of its steps is not run, or None where it is."""
        for (document, beginning), reason in NOT_RUN.items():
            if document == self.document.name and step.startswith(beginning):
                return reason
        return None

    @property
    def runs(self) -> bool:
        """Whether any of it is run."""
        return any(self.why_not(step) is None for step in self.steps())


def blocks_of(document: Path) -> list[Block]:
    found: list[Block] = []
    before = ""
    for token in MarkdownIt().parse(document.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            mark = MARK.search(before)
            marks = {mark[1]: mark[2]} if mark else {}
            language = token.info.strip().split(" ")[0] or _language(token.content)
            language = "bash" if language in ("sh", "shell", "console") else language
            block = Block(document, (token.map or [0])[0] + 1, language, token.content)
            block.given = re.split(r",\s*", marks["given"]) if "given" in marks else []
            block.before = found[-1].before + found[-1].text if "continues" in marks else ""
            found.append(block)
        before = token.content if token.type == "html_block" else ""
    return found


def _language(text: str) -> str:
    return "bash" if any(SHELL.match(line) for line in text.splitlines()) else "yaml"


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def command_lines(text: str) -> list[str]:
    """The lines of a shell block; continued lines are one, comments are none."""
    lines = [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("$ ") for line in lines if line and not line.startswith("#")]


def shell_commands(text: str) -> list[list[str]]:
    """The words of each command of a shell block; what is printed is none.

    The brackets of a synopsis, such as ``[--out FILE]``, are left out.
    """
    commands = []
    for line in command_lines(text):
        if SHELL.match(line):
            plain = re.sub(r"\$\(.*?\)", "SUBSTITUTED", line)
            plain = re.sub(r"(?<= )\[([A-Za-z-][^\]=]*)\]", r"\1", plain)
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
