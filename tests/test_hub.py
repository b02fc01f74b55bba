import shutil

import pytest
import torch

from mdpseg.errors import UserError
from mdpseg.hub import HubNetwork


def test_a_folder_gives_the_network_back(finetuned, tmp_path):
    HubNetwork.from_run(finetuned).save_pretrained(tmp_path / "saved")
    again = HubNetwork.from_pretrained(str(tmp_path / "saved"))
    images = torch.randint(0, 256, (1, 3, 50, 70), dtype=torch.uint8)
    first = HubNetwork.from_run(finetuned).network
    with torch.no_grad():
        assert torch.equal(again.network.logits(images), first.logits(images))
    assert again.weights.label_space == first_space(finetuned)
    again.save_pretrained(tmp_path / "twice")
    assert (tmp_path / "twice" / "README.md").read_text() == (tmp_path / "saved" / "README.md").read_text()


def first_space(run):
    from mdpseg import weights

    return weights.load(run / "weights.safetensors").label_space


def test_the_card_says_what_is_known(finetuned, tmp_path):
    HubNetwork.from_run(finetuned, licences=["things: CC0"]).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\n")
    assert "library_name: mdpseg" in card
    assert "| things | toy | train | CC0 |" in card
    assert "| 3 | " in card.split("## Results")[1]  # the last iteration's scores
    assert "# mobilenetv3_small_050 + fpn, a fine-tuning" in card
    assert str(tmp_path.parent) not in card  # nothing of its maker's folders
    assert "- things: " in card


def test_what_nobody_stated_is_not_stated(finetuned, tmp_path):
    run = shutil.copytree(finetuned, tmp_path / "run")
    text = (run / "recipe.yaml").read_text().replace("reader: toy", "reader: folder")
    (run / "recipe.yaml").write_text(text)
    assert "| things | folder | train | not stated |" in HubNetwork.from_run(run).card
    (run / "recipe.yaml").write_text(text.replace("path: null", f"path: {tmp_path}"))
    (tmp_path / "SOURCE.md").write_text("# Things\n- Licence: CC BY 4.0\nfrom somewhere\n")
    assert "| things | folder | train | Licence: CC BY 4.0 |" in HubNetwork.from_run(run).card


@pytest.mark.parametrize(
    "licences, message", [(["cars: CC0"], "no dataset 'cars'"), (["CC0"], "expected `name: licence`")]
)
def test_licences_of_nothing_are_refused(licences, message, finetuned):
    with pytest.raises(UserError, match=message):
        HubNetwork.from_run(finetuned, licences)


def test_a_damaged_folder_is_refused(finetuned, tmp_path):
    HubNetwork.from_run(finetuned).save_pretrained(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"\x80\x04junk")
    with pytest.raises(UserError, match=r"is a pickle"):
        HubNetwork.from_pretrained(str(tmp_path))
    with pytest.raises(UserError, match=r"holds no recipe.yaml|No weights file"):
        HubNetwork.from_run(tmp_path / "none")


def test_no_such_repository(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"is no folder"):
        HubNetwork.from_pretrained("nobody/nothing", local_files_only=True)
