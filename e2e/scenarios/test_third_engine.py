"""An engine that the operator does not have is added by one file and one line of its registry, and serves."""

import json
import urllib.request
from pathlib import Path

import pytest

from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl, Object
from e2e.support.port_forward import port_forward
from e2e.support.services import service
from tests.support import files_engine

pytestmark = pytest.mark.alone

READY_S = 240
REGISTRY_LINE = "from modelyard.integrations.engines.files_engine import Files; ENGINES[Files.name] = Files()"


def test_an_added_engine_serves_a_model(namespace: Kubectl, standin: Object, installation: Installation) -> None:
    image = installation.image_with_engine(Path(files_engine.__file__), REGISTRY_LINE)

    with installation.changed(image=image, settings={}):
        namespace.apply(service("files", engine={"type": "files", "image": standin["image"]}))
        namespace.wait("infsvc/files", "condition=Ready", READY_S)
        with port_forward(namespace, "files") as url, urllib.request.urlopen(f"{url}/config.json") as answer:
            assert "architectures" in json.load(answer)
        assert namespace.get("infsvc", "files")["status"]["effective"]["engineType"] == "files"
        namespace.run("delete", "infsvc/files", "--wait=true")
