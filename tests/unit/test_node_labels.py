"""Which labels show the scheduler what nodes hold."""

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.controller.placement.node_labels import LABELS_LIMIT, LabelChange, ServedModel, label_changes

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
A, B = "a" * 16, "b" * 16
LLAMA = ServedModel("llama", "team-a", DIGEST)
HOLDS = {"team-a": frozenset({DIGEST})}


def key(uid: str) -> str:
    return f"{names.LABEL_MODEL_DOMAIN}/{uid}"


def node(name: str = "worker", **labels: str) -> Object:
    """A node with labels of these services, beside those of others."""
    others = {"kubernetes.io/hostname": name, f"{names.GROUP}/pool": "gpu", f"x.{names.LABEL_MODEL_DOMAIN}/llama": A}
    ours = {key(uid): value for uid, value in labels.items()}
    return {"metadata": {"name": name, "uid": f"uid-of-{name}", "labels": others | ours}}


def change(name: str = "worker", **labels: str | None) -> LabelChange:
    return LabelChange(name, f"uid-of-{name}", {key(uid): value for uid, value in labels.items()})


def test_a_node_that_holds_a_services_model_is_labelled_for_it() -> None:
    assert label_changes([node()], [LLAMA], {"worker": HOLDS}) == (change(llama=A),)


def test_a_label_that_a_node_already_has_is_not_written_again() -> None:
    assert label_changes([node(llama=A)], [LLAMA], {"worker": HOLDS}) == ()


def test_an_evicted_model_takes_its_label_along() -> None:
    for held in ({}, {"team-a": frozenset({OTHER})}):
        assert label_changes([node(llama=A)], [LLAMA], {"worker": held}) == (change(llama=None),)


def test_the_same_content_in_another_namespace_does_not_count_here() -> None:
    assert label_changes([node()], [LLAMA], {"worker": {"team-b": frozenset({DIGEST})}}) == ()


def test_every_service_of_the_namespace_that_serves_the_content_has_its_label() -> None:
    twin, stranger = ServedModel("twin", "team-a", DIGEST), ServedModel("stranger", "team-b", DIGEST)
    assert label_changes([node()], [LLAMA, twin, stranger], {"worker": HOLDS}) == (change(llama=A, twin=A),)


def test_a_new_revision_moves_the_label_to_the_nodes_that_hold_it() -> None:
    newer = ServedModel("llama", "team-a", OTHER)
    nodes = [node("old", llama=A), node("new"), node("silent", llama=A)]
    held = {"old": HOLDS, "new": {"team-a": frozenset({OTHER})}, "silent": None}
    assert label_changes(nodes, [newer], held) == (
        change("old", llama=None),
        change("new", llama=B),
        change("silent", llama=None),
    )


def test_labels_stay_while_it_is_unknown_what_the_node_holds() -> None:
    unknown = ServedModel("bert", "team-a", None)
    assert label_changes([node(llama=A, bert=B)], [LLAMA, unknown], {"worker": None}) == ()


def test_the_label_of_a_deleted_service_is_removed_even_from_a_node_that_reports_nothing() -> None:
    for held in ({"worker": None}, {"worker": HOLDS}, {}):
        assert label_changes([node(gone=B)], [], held) == (change(gone=None),)


def test_a_node_whose_cache_was_uninstalled_loses_its_labels() -> None:
    assert label_changes([node(llama=A)], [LLAMA], {}) == (change(llama=None),)


def test_a_label_that_was_changed_is_corrected() -> None:
    assert label_changes([node(llama="elsewhere")], [LLAMA], {"worker": HOLDS}) == (change(llama=A),)


def test_a_node_has_a_bounded_number_of_labels_and_keeps_those_that_it_has() -> None:
    models = [ServedModel(f"s{n:03}", "team-a", DIGEST) for n in range(LABELS_LIMIT + 5)]
    full = node(**{model.uid: A for model in models[5:]})
    assert label_changes([full], models, {"worker": HOLDS}) == ()
    (first,) = label_changes([node()], models, {"worker": HOLDS})
    assert sorted(first.labels) == [key(f"s{n:03}") for n in range(LABELS_LIMIT)]
