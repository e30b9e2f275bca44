#!/bin/bash
# A good guess would be: a reader of YAML 1.2 (ruamel.yaml, as DVC uses it) gives what the specification of 1.2 says,
# and only PyYAML, a reader of 1.1, differs.
# True is: ruamel.yaml keeps some forms of 1.1 (`1_000` and `0b11` are numbers, which the core schema of 1.2 has as
# texts) and lacks one of 1.2 (`.5e1` is 5.0 to the specification, and a text to ruamel). So `depth: 1_000` has three readers
# and two values, and a check of "1.1 against 1.2" by these two libraries alone finds no difference.
# Source: yaml.org/spec/1.2.2, "10.3.2. Tag Resolution"; ruamel.yaml's resolver.py, `implicit_resolvers`; seen with
# ruamel.yaml 0.19.1 and PyYAML 6.0.3. Date: 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ruamel.yaml==0.19.1 PyYAML==6.0.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import yaml
from ruamel.yaml import YAML

print("ruamel.yaml", version("ruamel.yaml"), "PyYAML", version("PyYAML"))
specified = {"1_000": "1_000", "0b11": "0b11", ".5e1": 5.0, "1e-1": 0.1, "010": 10}
found = {text: YAML(typ="safe", pure=True).load(text) for text in specified}
for text, value in specified.items():
    print(f"{text:>6}: specification {value!r}, ruamel.yaml {found[text]!r}, PyYAML {yaml.safe_load(text)!r}")
differs = {text for text, value in specified.items() if found[text] != value}
sys.exit(0 if differs == {"1_000", "0b11", ".5e1"} else 1)
PYTHON
echo "as described: ruamel.yaml and the specification of YAML 1.2 differ"
