"""What is given to others: sdist and wheel, as `python -m build` makes them."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.metadata import Metadata

import mdpseg

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = pytest.mark.slow


def test_completion_offers_the_public_face_and_imports_none_of_it():
    program = "import mdpseg, sys; print(*dir(mdpseg), sep='\\n'); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {*mdpseg.__all__, "weights", "__version__"} <= {*done.stdout.split()}


def test_the_citation_is_of_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == mdpseg.__version__


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with both; the wheel is made from the sdist."""
    pytest.importorskip("build", reason="build is not installed")
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, ROOT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {name.removeprefix("mdpseg/") for name in names if name.startswith("mdpseg/")}
    assert inside == files_below(ROOT / "src" / "mdpseg")
    assert {Path(name).suffix for name in inside} >= {".py", ".yaml", ".csv", ".html", ".js", ".css", ".typed"}
    info = f"mdpseg-{mdpseg.__version__}.dist-info"
    assert {name for name in names if not name.startswith("mdpseg/")} == {
        f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    }


def test_metadata_are_valid(wheel):
    archive = zipfile.ZipFile(wheel)
    text = next(archive.read(name) for name in archive.namelist() if name.endswith("METADATA"))
    metadata = Metadata.from_email(text, validate=True)
    assert metadata.name == "mdpseg"
    assert metadata.license_expression == "Apache-2.0"
    assert set(metadata.provides_extra or []) == set(PROJECT["optional-dependencies"])
    assert metadata.description_content_type == "text/markdown"


def test_sdist_holds_the_source_and_no_leftovers(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        below = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {f"src/mdpseg/{name}" for name in files_below(ROOT / "src" / "mdpseg")} <= below
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "tests/conftest.py"} <= below
    assert not {name.split("/")[0] for name in below} & {".venv", "runs", "build", "dist", ".git"}


def test_the_wheel_works_without_the_source(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); from mdpseg.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "tables", "list", "A"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "A2" in done.stdout
