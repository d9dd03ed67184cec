"""What a person with the cluster's `edit` or `view` role in one namespace can do, and cannot."""

import json
from dataclasses import replace

import pytest

from e2e.support.kubectl import Kubectl, KubectlError, Object
from e2e.support.services import service


@pytest.fixture
def editor(namespace: Kubectl) -> Kubectl:
    """A person with the `edit` role in the test's namespace."""
    namespace.run("create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor")
    return replace(namespace, as_user="editor")


@pytest.fixture
def viewer(namespace: Kubectl) -> Kubectl:
    """A person with the `view` role in the test's namespace."""
    namespace.run("create", "rolebinding", "viewer", "--clusterrole=view", "--user=viewer")
    return replace(namespace, as_user="viewer")


def test_the_edit_role_can_do_all_that_a_user_needs(editor: Kubectl, standin: Object) -> None:
    editor.apply(service("mine", engine=standin))
    editor.run("wait", "infsvc/mine", "--for=condition=Accepted", "--timeout=60s")
    assert "mine" in editor.run("get", "infsvc")
    assert "Accepted" in editor.run("describe", "infsvc/mine")
    editor.run("scale", "infsvc/mine", "--replicas=2")
    editor.run("annotate", "infsvc/mine", "serving.modelyard.dev/refresh=now")
    editor.run("patch", "infsvc/mine", "--type=merge", '--patch={"spec":{"drain":{"timeoutSeconds":7}}}')
    path = f"/apis/serving.modelyard.dev/v1alpha1/namespaces/{editor.namespace}/inferenceservices/mine/scale"
    assert json.loads(editor.raw(path))["spec"]["replicas"] == 2
    editor.run("get", "servingprofiles")
    editor.run("get", "pods,services,deployments,pdb,events")
    editor.run("delete", "infsvc/mine")


def test_the_edit_role_can_do_nothing_else(editor: Kubectl, standin: Object) -> None:
    editor.apply(service("mine", engine=standin))
    elsewhere = replace(editor, namespace="default")
    forbidden = [
        (editor, ["patch", "infsvc/mine", "--subresource=status", "--type=merge", '--patch={"status":{"replicas":9}}']),
        (elsewhere, ["get", "infsvc"]),
        (elsewhere, ["delete", "infsvc/mine"]),
        (editor, ["get", "crd"]),
        (editor, ["delete", "servingprofile/any"]),
        (editor, ["delete", "crd/inferenceservices.serving.modelyard.dev"]),
        (replace(editor, namespace="modelyard-system"), ["get", "pods"]),
        (editor, ["get", "infsvc", "--all-namespaces"]),
    ]
    for who, arguments in forbidden:
        with pytest.raises(KubectlError, match=r"(?i)forbidden|cannot"):
            who.run(*arguments)


def test_the_view_role_can_look_and_not_touch(viewer: Kubectl, namespace: Kubectl, standin: Object) -> None:
    namespace.apply(service("theirs", engine=standin))
    assert "theirs" in viewer.run("get", "infsvc")
    for arguments in (
        ["delete", "infsvc/theirs"],
        ["scale", "infsvc/theirs", "--replicas=2"],
        ["annotate", "infsvc/theirs", "serving.modelyard.dev/refresh=now"],
    ):
        with pytest.raises(KubectlError, match=r"(?i)forbidden|cannot"):
            viewer.run(*arguments)
