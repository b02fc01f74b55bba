"""What the site does beside mkdocs: links to files of the repository, such as ../src/mdpseg/cli.py, lead to copies.

On a code host they lead to the files themselves. A link to a folder keeps its text only: a site has no folder to show.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[([^\]]*)\]\(\.\./([^)#]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds a copy of each file that a page links to outside docs/, as text that every browser shows."""
    pages = [Path(file.abs_src_path).read_text(encoding="utf-8") for file in files.documentation_pages()]
    for path in sorted({path for page in pages for _, path in LINK.findall(page) if (ROOT / path).is_file()}):
        content = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, f"repository/{path}.txt", content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turns the links."""

    def turned(link: re.Match[str]) -> str:
        text, path = link.groups()
        return f"[{text}](repository/{path}.txt)" if (ROOT / path).is_file() else text

    return LINK.sub(turned, markdown)
