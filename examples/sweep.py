"""A sweep with Optuna over the settings that matter: learning rate, temperature, the supervised part's share.

    pip install optuna
    python examples/sweep.py recipes/three-worlds.yaml finetune.yaml --trials 20 --out runs/sweep

Each trial pretrains by the first recipe, fine-tunes by the second and is judged on that one's `val`: choose there, and
report on images that the sweep never saw. The study is kept in OUT/study.journal: the same command goes on with it.
"""

import argparse
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import mdpseg


def sweep(pretraining: Path, finetuning: Path, trials: int, out: Path, overrides: list[str]) -> optuna.Study:
    """Runs trials, and leaves each one's runs in OUT/NUMBER."""

    def judge(trial: optuna.Trial) -> float:
        settings = {
            "optim.lr": trial.suggest_float("optim.lr", 0.02, 0.5, log=True),
            "method.temperature": trial.suggest_float("method.temperature", 0.03, 0.3, log=True),
            "method.supervised_share": trial.suggest_float("method.supervised_share", 0.0, 0.9),
        }
        chosen = [f"{name}={value}" for name, value in settings.items()]
        folder = out / str(trial.number)
        pretrained = mdpseg.pretrain(pretraining, [*overrides, *chosen, f"out={folder / 'pretrain'}"])
        start = [f"init={pretrained.weights}", f"out={folder / 'finetune'}"]
        scores = mdpseg.finetune(finetuning, [*overrides, *start]).scores
        return scores[max(scores)].mean_iou

    out.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(out / "study.journal")))
    study = optuna.create_study(
        study_name="mdpseg",
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=0),
    )
    study.optimize(judge, n_trials=trials, catch=(mdpseg.UserError,))  # a loss that is not finite ends its trial alone
    return study


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pretraining", type=Path, help="recipe of mdpseg pretrain")
    parser.add_argument("finetuning", type=Path, help="recipe of mdpseg finetune, with val")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"))
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for both recipes, such as data_root=/data")
    given = parser.parse_intermixed_args()
    study = sweep(given.pretraining, given.finetuning, given.trials, given.out, given.overrides)
    print(
        f"best of {len(study.trials)}: mIoU {study.best_value:.2%} with {study.best_params} ({study.best_trial.number})"
    )
