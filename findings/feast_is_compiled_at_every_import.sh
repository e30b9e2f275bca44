#!/bin/bash
# A good guess would be: the second `import feast` of a Python is quick, as its byte code lies in __pycache__, and a
# decorator that checks arguments costs something when they are passed, not before.
# True is: `@typechecked` of typeguard on a class finds the class's source, parses the whole module, rewrites it and
# compiles it, for each decorated class (once more for each method) and in each process; nothing of it is kept. Feast has
# it on its entities, views, fields, services and sources. Some 240 compilations of syntax trees later the import is
# done: most of the seconds that every short command of Feast's takes. With a decorator that does nothing there is none.
# Source: github.com/agronholm/typeguard, src/typeguard/_decorators.py (`instrument`), and github.com/feast-dev/feast,
# sdk/python/feast/{entity,field,feature_view,feature_service,data_source}.py; seen with Feast 0.67.0 and typeguard 4.6.0.
# Date: 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check feast==0.67.0 typeguard==4.6.0
cd "$folder"
cat > counted.py <<'PYTHON'
import ast
import builtins
import sys
import time

trees = 0
compiled = builtins.compile


def counting(source, *arguments, **named):
    global trees
    trees += isinstance(source, ast.AST)
    return compiled(source, *arguments, **named)


if sys.argv[1] == "nothing":
    import typeguard

    typeguard.typechecked = lambda target=None, **_: target if target is not None else lambda inner: inner
builtins.compile = counting
began = time.perf_counter()
import feast  # noqa: E402

print(trees, f"{time.perf_counter() - began:.1f}")
PYTHON
unset PYTHONDONTWRITEBYTECODE
"$folder/venv/bin/python" -W ignore counted.py checked > /dev/null # the byte code is written
read -r checked seconds < <("$folder/venv/bin/python" -W ignore counted.py checked)
read -r without quick < <("$folder/venv/bin/python" -W ignore counted.py nothing)
echo "import feast, byte code there: $checked compilations of syntax trees, $seconds s; without typeguard's decorator: $without, $quick s"
if ((checked < 50 || without > 5)); then exit 1; fi
echo "as described: Feast is compiled anew at every import"
