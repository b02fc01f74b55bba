"""The documents' own code: Python blocks run, YAML blocks are valid recipes, files that are linked exist."""

import re
from pathlib import Path

import pytest
import yaml

from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.recipe import load

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list:
    found = []
    for document in DOCUMENTS:
        parts = re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        found += [pytest.param(part, id=f"{document.name}-{i}") for i, part in enumerate(parts)]
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "document", "exec"), {})


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_blocks_are_recipes(text):
    content = yaml.safe_load(text)
    kind = PretrainConfig if "datasets" in content else FinetuneConfig
    assert load(content, kind).out == Path(content["out"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing
