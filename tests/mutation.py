"""Mutation testing of the modules that decide answers: `mutation.py [--workers 2] [--only missing]`.

Runs mutmut in each package whose pyproject.toml says what to change (`tool.mutmut`), and prints how many of the
changes a test noticed, by module. Exits 1 where a module has less than `ENOUGH`, or where mutmut itself failed. A
second run goes on where the first was stopped, and repeats what has changed since.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "data_pipeline", "training_pipeline", "model_serving")
ENOUGH = 0.9
# mutmut's exit codes of one change: a test failed, or never ended
NOTICED = {1, 3, 24, 36, 152, 255, -24}
UNSEEN = {0: "survived", 5: "no test", 33: "no test", None: "not run"}


def main() -> int:
    """Change, test, tell."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--workers", type=int, default=2, help="changes tested at a time")
    asked.add_argument("--only", default="", help="modules whose dotted name has this in it")
    given = asked.parse_args()
    chosen = [package for package in PACKAGES if _modules(package, given.only)]
    if not chosen:
        sys.exit(f"no module has {given.only!r} in its name; see tool.mutmut in the packages' pyproject.toml")
    failed = [package for package in chosen if not _changed(package, given.workers, given.only)]
    scores = {name: score for package in chosen for name, score in _scores(package, given.only).items()}
    _tell(scores)
    if failed:
        sys.stdout.write(f"mutmut failed in {', '.join(failed)}\n")
    return int(bool(failed) or not scores or any(_share(score) < ENOUGH for score in scores.values()))


def _modules(package: str, only: str) -> list[str]:
    settings = tomllib.loads((ROOT / package / "pyproject.toml").read_text(encoding="utf-8"))["tool"].get("mutmut", {})
    names = [
        file.removeprefix("src/").removesuffix(".py").replace("/", ".") for file in settings.get("only_mutate", [])
    ]
    return [name for name in names if only in name]


def _changed(package: str, workers: int, only: str) -> bool:
    patterns = [f"{name}.x*" for name in _modules(package, only)] if only else []
    mutmut = Path(sys.executable).with_name("mutmut")
    command = [str(mutmut), "run", "--max-children", str(workers), *patterns]
    return subprocess.run(command, cwd=ROOT / package, check=False).returncode == 0


def _scores(package: str, only: str) -> dict[str, Counter[str]]:
    """Module → how many of its changes were noticed, survived, met no test or were not run."""
    found: dict[str, Counter[str]] = {}
    for name in _modules(package, only):
        file = ROOT / package / "mutants" / "src" / f"{name.replace('.', '/')}.py.meta"
        codes = json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"].values() if file.exists() else [None]
        found[name] = Counter("noticed" if code in NOTICED else UNSEEN.get(code, "failed") for code in codes)
    return found


def _share(score: Counter[str]) -> float:
    return score["noticed"] / score.total() if score.total() else 1.0


def _tell(scores: dict[str, Counter[str]]) -> None:
    kinds = ["noticed", "survived", "no test", "not run", "failed"]
    sys.stdout.write(f"\n{'module':44} {'share':>6} " + " ".join(f"{kind:>9}" for kind in kinds) + "\n")
    for name, score in sorted(scores.items(), key=lambda item: _share(item[1])):
        figures = " ".join(f"{score[kind]:9}" for kind in kinds)
        sys.stdout.write(f"{name:44} {_share(score):6.1%} {figures}\n")


if __name__ == "__main__":
    sys.exit(main())
