"""The proposed *same as* relations as a mapping file, as ``merge:`` of a pretraining's recipe reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import yaml

from mdpseg.atlas.relations import Relation
from mdpseg.label_space import LabelSpace

_HEAD = """\
# Label sets merged by what one pretrained network sees, written by `mdpseg atlas`; look it over before you use it.
# Classes that are not listed stay alone. Use: mdpseg pretrain RECIPE merge=THIS_FILE
"""


def merged_groups(relations: Sequence[Relation], space: LabelSpace) -> list[list[int]]:
    """Classes that are the same, put together pair by pair from the highest score down.

    Two classes of one dataset never come together: its labellers told them apart.

    Returns:
        Groups of at least two global ids, each in ascending order.
    """
    owner = space.dataset_of_class().tolist()
    group = {k: [k] for k in range(space.num_classes)}
    for relation in sorted(relations, key=lambda r: -r.score):
        one, two = group[relation.first], group[relation.second]
        if relation.kind != "same as" or one is two or {owner[k] for k in one} & {owner[k] for k in two}:
            continue
        joined = sorted(one + two)
        for k in joined:
            group[k] = joined
    return sorted({tuple(members): members for members in group.values() if len(members) > 1}.values())


def mapping_text(groups: Sequence[Sequence[int]], space: LabelSpace) -> str | None:
    """The mapping file; None where nothing is merged, because an empty file is no mapping."""
    if not groups:
        return None
    mapping: dict[str, list[str]] = {}
    for members in groups:
        names = [space.names[k] for k in members]
        short = [full.split("/", 1)[1].replace("/", "-") for full in names]
        commonest = Counter(short).most_common(1)[0][0]
        name, number = commonest, 2
        while name in mapping:
            name, number = f"{commonest} {number}", number + 1
        mapping[name] = names
    body = "".join(
        yaml.safe_dump({name: members}, default_flow_style=None, allow_unicode=True, width=10**6)
        for name, members in mapping.items()
    )
    return _HEAD + body
