"""Whichever worker answers `/metrics`, its counters are those of all, and equal to what callers counted."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import httpx
import pytest
from checked_load import CONNECTIONS, WELL
from prometheus_client.parser import text_string_to_metric_families
from serving_worlds import Server
from stage import WORKERS, Stage
from waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("chaos")]
OUTCOME = {"ok": "200", "no_candidate": "404 no_candidate"}


def counted(server: Server, unfinished: int = 0) -> Counter[str]:
    """Answers by outcome, from a connection of its own, which any worker may take.

    Args:
        unfinished: at most so many requests were begun and not answered, since their worker died.
    """
    with httpx.Client(base_url=server.http.base_url, trust_env=False, timeout=10) as fresh:
        families = text_string_to_metric_families(fresh.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    totals: Counter[str] = Counter()
    for sample in samples:
        if sample.name == "twinserve_inference_answers_total":
            totals[OUTCOME[sample.labels["outcome"]]] += int(sample.value)
    of_seconds = sum(s.value for s in samples if s.name == "twinserve_inference_seconds_count")
    of_candidates = sum(s.value for s in samples if s.name == "twinserve_inference_candidates_count")
    assert abs(of_seconds - totals.total()) <= unfinished
    assert 0 <= of_candidates - totals.total() <= unfinished
    return totals


def test_counters_of_all_workers_are_what_callers_counted(stage: Stage, tmp_path: Path) -> None:
    server = stage.start(tmp_path / "log")
    try:
        until("both ready", lambda: server.log.read_text().count("ready: ranker") == WORKERS)
        with stage.load(server) as load:
            load.await_answers(6 * CONNECTIONS)
        seen = load.outcomes()
        assert set(seen) == set(WELL)
        assert [counted(server) for _ in range(2 * WORKERS)] == [seen] * 2 * WORKERS

        with stage.load(server) as second:
            second.await_answers(CONNECTIONS)
            server.workers()[0].kill()
            until("its place is taken", lambda: server.log.read_text().count("ready: ranker") == WORKERS + 1)
            second.await_answers(2 * CONNECTIONS)
        seen += second.outcomes()
        # what the dead worker had counted stays; a request that it answered while it died may be counted, or not
        broken = sum(seen[outcome] for outcome in seen if outcome not in WELL)
        totals = counted(server, broken)
        assert 0 <= totals.total() - sum(seen[outcome] for outcome in WELL) <= broken
        assert all(totals[outcome] >= seen[outcome] for outcome in WELL)
        assert [counted(server, broken) for _ in range(2 * WORKERS)] == [totals] * 2 * WORKERS
        # that one has died is told
        assert f"twinserve_inference_worker_starts_total {WORKERS + 1}.0" in server.http.get("/metrics").text
        assert len(re.findall(r"worker \d+ starts", server.log.read_text())) == WORKERS + 1
    finally:
        server.stop()
