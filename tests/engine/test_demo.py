import json

import pytest
from PIL import Image

from mdpseg.engine.demo import run_demo
from mdpseg.errors import UserError


@pytest.mark.slow
def test_the_demo(tmp_path):
    results = run_demo(tmp_path / "demo", pretrain_iterations=2, finetune_iterations=2)
    assert {"scratch", "mdp"} <= set(results)
    written = json.loads((tmp_path / "demo" / "demo.json").read_text())
    for name in ("scratch", "mdp"):
        assert list(written[name]) == ["1", "2"]
        assert all(0 <= scores["mean_iou"] <= 1 for scores in written[name].values())
    with Image.open(tmp_path / "demo" / "demo.png") as picture:
        assert picture.format == "PNG"
        picture.load()
    for run in ("pretrain", "finetune-scratch", "finetune-mdp"):
        assert (tmp_path / "demo" / run / "weights.safetensors").is_file()


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty"):
        run_demo(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
