import pytest
from rich.console import Console

from mdpseg.engine.scores import Scores, read_scores, write_scores
from mdpseg.errors import UserError

SCORES = Scores(0.5, 0.75, {"road": 0.253, "sky": None}, 3)
WHOLE = '{"mean_iou": 0.5, "pixel_accuracy": 0.75, "class_iou": {"road": 0.253, "sky": null}, "images": 3}'


def test_the_table_shows_every_class_and_the_means():
    console = Console(width=80, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(SCORES.table())
    text = console.export_text()
    for part in ("road", "25.3", "sky", "absent", "mIoU", "50.00", "pixel accuracy", "75.00"):
        assert part in text


def test_what_was_written_is_read_in_the_order_of_the_steps(tmp_path):
    for step in (100, 20, 3):
        write_scores(tmp_path / f"scores-{step}.json", Scores(step / 100, 1.0, {}, step))
    (tmp_path / "scores-5.json").write_text(WHOLE)
    (tmp_path / "scores-best.json").write_text("somebody's own")
    found = read_scores(tmp_path)
    assert [*found] == [3, 5, 20, 100]
    assert found[20] == Scores(0.2, 1.0, {}, 20)
    assert found[5] == SCORES
    assert read_scores(tmp_path / "nothing") == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "[" * 10**6,
        "\x00",
        WHOLE.replace("0.253", '"road"'),
        WHOLE.replace("0.253", "25.3"),
        WHOLE.replace("0.5", "NaN"),
        WHOLE.replace("0.75", "null"),
    ],
)
def test_what_holds_no_scores_is_refused_by_name(content, tmp_path):
    (tmp_path / "scores-7.json").write_text(content)
    with pytest.raises(UserError, match=r"scores-7\.json does not hold the scores of an evaluation"):
        read_scores(tmp_path)
