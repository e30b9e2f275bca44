"""The configuration of the profiles: files parse, and what they name is there. What can run is run in tests/docker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOYMENT = ROOT / "deployment"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DASHBOARDS = sorted((DEPLOYMENT / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((DEPLOYMENT / "prometheus" / "rules").glob("*.yml"))
PARSED = sorted(
    file
    for folder in ("prometheus", "alertmanager", "grafana", "elasticsearch", "kibana", "filebeat", "jenkins")
    for file in (DEPLOYMENT / folder).rglob("*")
    if file.suffix in {".yml", ".yaml", ".json"}
)


def loaded(file: Path) -> Any:
    return (json.loads if file.suffix == ".json" else yaml.safe_load)(file.read_text(encoding="utf-8"))


def alarms() -> list[dict[str, Any]]:
    return [rule for file in RULES for group in loaded(file)["groups"] for rule in group["rules"]]


def panels() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{file.stem}: {panel['title']}", panel) for file in DASHBOARDS for panel in loaded(file)["panels"]]


@pytest.mark.parametrize("file", PARSED, ids=lambda file: str(file.relative_to(DEPLOYMENT)))
def test_every_file_parses_to_something(file: Path) -> None:
    assert loaded(file)


def test_every_alarm_has_a_severity_a_summary_and_a_page() -> None:
    assert alarms()
    for alarm in alarms():
        assert alarm["labels"]["severity"] in {"critical", "warning"}, alarm["alert"]
        assert alarm["annotations"]["summary"]
        page = ROOT / alarm["annotations"]["runbook"]
        assert page.parent == ROOT / "docs" / "runbooks"
        assert f"`{alarm['alert']}`" in page.read_text(encoding="utf-8"), alarm["alert"]


def test_every_alarm_has_a_unit_test_in_which_it_fires() -> None:
    tests = [test for file in RULES for test in loaded(DEPLOYMENT / "prometheus" / "tests" / file.name)["tests"]]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    assert fired == {alarm["alert"] for alarm in alarms()}


def test_every_runbook_belongs_to_an_alarm_or_is_named_by_the_code() -> None:
    pages = {file.name for file in (ROOT / "docs" / "runbooks").glob("*.md")}
    of_alarms = {Path(alarm["annotations"]["runbook"]).name for alarm in alarms()}
    # DagFailed is told to Alertmanager by Airflow's failure callback itself
    assert pages - of_alarms == {"dag-failed.md"}


def test_prometheus_asks_ports_that_services_have() -> None:
    jobs = {job["job_name"]: job for job in loaded(DEPLOYMENT / "prometheus" / "prometheus.yml")["scrape_configs"]}
    hosts = [t.split(":")[0] for job in jobs.values() for c in job.get("static_configs", []) for t in c["targets"]]
    assert set(hosts) - {"localhost"} <= set(SERVICES)
    assert jobs["online"]["dns_sd_configs"][0]["names"] == ["online"]
    assert "bind :8405" in (DEPLOYMENT / "gateway" / "haproxy.cfg").read_text()


def test_dashboards_have_names_of_their_own_that_stay() -> None:
    boards = [loaded(file) for file in DASHBOARDS]
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == len(boards)
    for file, board in zip(DASHBOARDS, boards, strict=True):
        assert board["uid"] == f"twinserve-{file.stem}"
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).name in {file.name for file in DASHBOARDS}


def test_every_panel_asks_our_data_source_and_has_a_unit() -> None:
    (source,) = loaded(DEPLOYMENT / "grafana" / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    ours = {"type": source["type"], "uid": source["uid"]}
    for name, panel in panels():
        assert panel["datasource"] == ours, name
        assert panel["fieldConfig"]["defaults"]["unit"], name
        assert panel["targets"], name
        for target in panel["targets"]:
            assert target["datasource"] == ours, name
            assert target["expr"].strip(), name


def test_panels_do_not_overlap_and_fit_the_page() -> None:
    for file in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in loaded(file)["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken, (file.name, panel["title"])
            assert at["x"] + at["w"] <= 24
            taken |= cells


def test_every_metric_of_ours_that_is_asked_for_is_one_that_the_service_has() -> None:
    from model_serving.online.telemetry.metrics import InferenceMetrics

    known = {metric.name for metric in InferenceMetrics().registry.collect()}
    asked = " ".join(target["expr"] for _, panel in panels() for target in panel["targets"])
    asked += " ".join(alarm["expr"] for alarm in alarms())
    names = set(re.findall(r"twinserve_\w+", asked))
    assert {re.sub(r"_(total|sum|count|bucket)$", "", name) for name in names} <= known


def test_the_saved_searches_are_of_the_data_view_and_of_fields_that_are_mapped() -> None:
    text = (DEPLOYMENT / "kibana" / "saved-objects.ndjson").read_text(encoding="utf-8")
    view, *searches = [json.loads(line) for line in text.splitlines()]
    patterns = loaded(DEPLOYMENT / "elasticsearch" / "index-template.json")["index_patterns"]
    assert view["attributes"]["title"] in patterns
    assert len({search["id"] for search in searches}) == len(searches)
    for search in searches:
        (reference,) = search["references"]
        assert (reference["id"], reference["type"]) == (view["id"], "index-pattern")
        source = json.loads(search["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        assert source["indexRefName"] == reference["name"]


def test_what_logging_lays_down_fits_together() -> None:
    template = loaded(DEPLOYMENT / "elasticsearch" / "index-template.json")["template"]["settings"]
    script = (DEPLOYMENT / "elasticsearch" / "initialise.sh").read_text()
    assert f"_ilm/policy/{template['index.lifecycle.name']} " in script
    assert f"_ingest/pipeline/{template['index.default_pipeline']} " in script
    for name in re.findall(r"\$\(<([\w.-]+)\)", script):
        assert (DEPLOYMENT / "elasticsearch" / name).exists(), name
    filebeat = loaded(DEPLOYMENT / "filebeat" / "filebeat.yml")
    assert filebeat["output.elasticsearch"]["username"] in script
    assert filebeat["output.elasticsearch"]["index"].startswith("logs-twinserve-")
    assert '"com.docker.compose.project":"${COMPOSE_PROJECT_NAME}"' in filebeat["filebeat.inputs"][0]["include_lines"]
    labels = COMPOSE["x-service"]["logging"]["options"]["labels"]
    assert labels.split(",") == ["com.docker.compose.project", "com.docker.compose.service"]


def test_what_a_configuration_takes_from_the_environment_is_given() -> None:
    wanted = {"filebeat": "filebeat/filebeat.yml", "kibana": "kibana/kibana.yml", "jenkins": "jenkins/jenkins.yaml"}
    for service, file in wanted.items():
        names = set(re.findall(r"\$\{([A-Z_]+)\}", (DEPLOYMENT / file).read_text()))
        assert names
        assert names <= set(SERVICES[service]["environment"]), service


def test_images_of_one_suite_are_of_one_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "docker.elastic.co" in service["image"]]
    assert len({image.split(":")[1] for image in images}) == 1


def test_jenkins_plug_ins_have_versions_and_its_job_the_file_at_the_root() -> None:
    lines = (DEPLOYMENT / "jenkins" / "plugins.txt").read_text().splitlines()
    plugins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+:[\w.]+", plugin) for plugin in plugins)
    (job,) = loaded(DEPLOYMENT / "jenkins" / "jenkins.yaml")["jobs"]
    assert (ROOT / re.findall(r"scriptPath\('(\w+)'\)", job["script"])[0]).exists()
    targets = set(re.findall(r"'make ([a-z-]+)'", (ROOT / "Jenkinsfile").read_text()))
    assert targets == {"lint", "test", "demo", "clean", "build", "test-docker"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}: " in makefile for target in targets)
