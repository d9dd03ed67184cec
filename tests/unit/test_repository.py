"""Rules of the repository that no other tool holds."""

import operator
from pathlib import Path

import modelyard

SOURCE_ROOT = Path(modelyard.__file__).parents[1]


def test_the_source_root_is_no_package_since_it_would_shadow_pythons_own_operator() -> None:
    assert SOURCE_ROOT.name == operator.__name__
    assert not (SOURCE_ROOT / "__init__.py").exists()
