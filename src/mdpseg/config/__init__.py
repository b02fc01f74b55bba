"""Every setting, its default and its meaning: the one place where they are written.

Recipes are these models in YAML; :mod:`mdpseg.recipe` reads them. Marked (P): published; (ours): not in the paper.
"""

from mdpseg.config.base import Settings
from mdpseg.config.data import AugmentConfig, DatasetConfig, SubsetConfig
from mdpseg.config.evaluation import EvalConfig, EvaluateConfig, PredictConfig
from mdpseg.config.method import MethodConfig
from mdpseg.config.network import NetworkConfig
from mdpseg.config.optim import FinetuneOptimConfig, OptimConfig, PretrainOptimConfig
from mdpseg.config.readers import TiffConfig
from mdpseg.config.runs import RUN_RECIPES, WITHOUT_EFFECT, FinetuneConfig, PretrainConfig, RunConfig

__all__ = [
    "RUN_RECIPES",
    "WITHOUT_EFFECT",
    "AugmentConfig",
    "DatasetConfig",
    "EvalConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "FinetuneOptimConfig",
    "MethodConfig",
    "NetworkConfig",
    "OptimConfig",
    "PredictConfig",
    "PretrainConfig",
    "PretrainOptimConfig",
    "RunConfig",
    "Settings",
    "SubsetConfig",
    "TiffConfig",
]
