"""Reads a text of metrics by Prometheus' own parser for Python, and prints its families as JSON."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    samples = [
        {"name": sample.name, "labels": sample.labels, "value": repr(sample.value)}
        for sample in family.samples
    ]
    if family.name in families:
        raise SystemExit(f"{family.name} comes twice")
    families[family.name] = {"kind": family.type, "help": family.documentation, "samples": samples}
print(json.dumps(families))
