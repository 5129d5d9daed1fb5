"""Renders the manifests of a directory by Kustomize, compares each with the schemas of Kubernetes, and prints all as JSON."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

VERSIONS = ["1.30", "1.33", "1.37"]


def rendered(directory: str) -> list[dict]:
    kubectl = Path(sys.executable).with_name("kubectl")
    kustomize = subprocess.run([kubectl, "kustomize", directory], check=True, stdout=subprocess.PIPE)
    return list(yaml.safe_load_all(kustomize.stdout))


def fits(resource: dict, version: str) -> bool:
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        print(f"{resource['kind']} in {version}: {error.path}: {error.message}", file=sys.stderr)
        return False
    return True


resources = rendered(sys.argv[1])
for version in VERSIONS:
    misfits = [resource["kind"] for resource in resources if not fits(resource, version)]
    assert not misfits, misfits
    # A misspelled field does not fit.
    assert not any(fits(resource | {"spek": {}}, version) for resource in resources)
json.dump(resources, sys.stdout)
