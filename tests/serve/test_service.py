from types import SimpleNamespace

import pytest

from mdpseg.serve.service import Service


@pytest.mark.parametrize(
    "taxonomies, own", [(["voc"], "mine"), (["voc", "mine"], "mine-2"), (["mine", "mine-2", "mine-3"], "mine-4")]
)
def test_added_classes_join_a_dataset_of_their_own(taxonomies, own):
    """However often weights with added classes are downloaded, served, and added to."""
    assert Service(SimpleNamespace(taxonomies=taxonomies), "run").own == own
