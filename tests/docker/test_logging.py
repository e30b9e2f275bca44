"""What the profile `logging` makes of log lines: its index template, ingest pipeline and saved searches, for real.

They run in OpenSearch, which speaks the API that these share with Elasticsearch. The lines are those of this checkout's
service and commands, printed by containers with the Compose file's logging options and read from the engine's own
files, and those of an Airflow task's log. What OpenSearch can't check: the life cycle policy, users and roles, Filebeat
and Kibana.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from docker_platform import ROOT
from platform_under_test import CommandFailed, Platform, free_port, stop
from profile_project import container
from waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.integration]
OPENSEARCH = "opensearchproject/opensearch:2.19.1"
SINGLE_NODE = ("--env", "discovery.type=single-node", "--env", "DISABLE_SECURITY_PLUGIN=true")
PRINTER = "python:3.11-slim-bookworm"
SETUP = ROOT / "deployment" / "elasticsearch"
STREAM = "logs-twinserve-default"
ENVELOPE = {"map_index": -1, "try_number": 2, "dag_id": "a_dag", "task_id": "a_task", "run_id": "a_run"}
GATEWAY_LINE = {
    "time": "2026-01-02T03:04:05Z", "client": "10.0.0.9", "request_id": "r-1", "method": "POST", "path": "/inference",
    "status": 503, "bytes": 200, "server": "<NOSRV>", "retries": "0", "end": "SC",
    "ms": {"request": 0, "queue": -1, "connect": -1, "answer": -1, "all": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def opensearch() -> Iterator[httpx.Client]:
    """A server with the ingest pipeline and the index template laid down."""
    port = str(free_port())
    with (
        container("--publish", f"127.0.0.1:{port}:9200", *SINGLE_NODE, OPENSEARCH),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):
        until("OpenSearch answers", lambda: answers(client))
        template = json.loads((SETUP / "index-template.json").read_text())
        # Elasticsearch's own; OpenSearch has state management in its place
        assert template["template"]["settings"].pop("index.lifecycle.name") == "twinserve-logs"
        put(client, "_ingest/pipeline/twinserve-logs", (SETUP / "pipeline.yml").read_text(), "yaml")
        put(client, "_index_template/twinserve-logs", json.dumps(template), "json")
        yield client


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/_cluster/health").json().get("status") in {"green", "yellow"}
    except (httpx.TransportError, ValueError):
        return False


def put(client: httpx.Client, path: str, body: str, kind: str) -> None:
    answer = client.put(f"/{path}", content=body, headers={"Content-Type": f"application/{kind}"})
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Real lines by the service that says them: a command that ends well, one that fails, a service without a model."""
    home = Platform(tmp_path_factory.mktemp("logs"))
    result = home.run("data-pipeline", "generate", "--drivers=5", "--days=3", "--orders=20", "--seed=1")
    with pytest.raises(CommandFailed) as failed:
        home.run("data-pipeline", "clean", "--run-key", "nothing-was-ingested")
    return {
        "data-pipeline": [json.dumps(result), *failed.value.stderr.splitlines()],
        "online": service_lines(home),
        "gateway": [json.dumps(GATEWAY_LINE)],
        "postgres": ["2026-01-02 03:04:05.678 UTC [1] LOG:  database system is ready to accept connections"],
    }


def service_lines(home: Platform) -> list[str]:
    """What the service says while it finds no model, and an exception with its stack."""
    log = home.home / "serve.log"
    environment = home.environment | {"TWINSERVE_ONLINE_PORT": str(free_port())}
    with log.open("w") as out:
        command = [str(ROOT / ".venv" / "bin" / "model-serving"), "serve"]
        service = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        until("it says why", lambda: "not ready: " in log.read_text(), also=log.read_text)
        address = f"http://127.0.0.1:{environment['TWINSERVE_ONLINE_PORT']}/inference"
        assert httpx.post(address, json={}, headers={"X-Request-Id": "r-7"}, trust_env=False).status_code == 503
        until("it notes the answer", lambda: '"answered"' in log.read_text(), also=log.read_text)
    finally:
        stop(service)
    said = log.read_text().splitlines()
    program = (
        "import logging; from twinserve.command.logs import configure_logging; configure_logging('INFO', 'json')\n"
        "try: 1 / 0\nexcept ArithmeticError: logging.getLogger('a').exception('broken', extra={'rows': 3})"
    )
    python = str(ROOT / ".venv" / "bin" / "python")
    fault = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stderr
    return [*said, *fault.splitlines()]


@pytest.fixture(scope="module")
def documents(opensearch: httpx.Client, lines: dict[str, list[str]]) -> httpx.Client:
    """The server, with every line in it as Filebeat would have sent it."""
    for service, said in lines.items():
        send(opensearch, "/containers/1/1-json.log", printed(service, said))
    result = json.dumps({"rows": 7})
    warning = json.dumps({"time": "2026-01-02T03:04:05.000+00:00", "level": "WARNING", "logger": "x", "message": "odd"})
    path = "/airflow/dag_id=a_dag/run_id=a_run/task_id=a_task/attempt=2.log"
    task = [
        {"timestamp": "2026-01-02T03:04:04Z", "level": "info", "event": "::group::Pre Execute", "logger": "task"},
        {"timestamp": "2026-01-02T03:04:05Z", "level": "info", "event": warning, **ENVELOPE},
        {"timestamp": "2026-01-02T03:04:06Z", "level": "error", "event": "Task failed", **ENVELOPE,
         "error_detail": [{"exc_type": "ValueError", "exc_value": "no"}]},
        {"timestamp": "2026-01-02T03:04:07Z", "level": "info", "event": result, **ENVELOPE},
    ]  # fmt: skip
    send(opensearch, path, [json.dumps(line) for line in task])
    opensearch.post(f"/{STREAM}/_refresh")
    return opensearch


def printed(service: str, said: list[str]) -> list[str]:
    """What the engine's file holds after a container of a service has printed these lines."""
    options = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-service"]["logging"]["options"]
    words = [word for name, value in options.items() for word in ("--log-opt", f"{name}={value}")]
    words += ["--label", f"com.docker.compose.service={service}", "--label", "com.docker.compose.project=twinserve"]
    script = "import sys; sys.stdout.write(sys.argv[1])"
    with container(
        "--log-driver", "json-file", *words, PRINTER, "python3", "-c", script, "\n".join(said) + "\n"
    ) as one:
        subprocess.run(["docker", "wait", one], capture_output=True, check=True)
        # by a container, as Filebeat does it: the files are root's
        read = ["docker", "run", "--rm", "--volume", "/var/lib/docker/containers:/containers:ro", PRINTER, "cat"]
        found = subprocess.run([*read, f"/containers/{one}/{one}-json.log"], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def send(opensearch: httpx.Client, path: str, raw: list[str]) -> None:
    """What Filebeat sends, through the pipeline into the data stream.

    Through it by the call that tries a pipeline out: the server's only node has no role to do it on arrival.
    """
    events = [{"@timestamp": "2026-01-01T00:00:00Z", "message": line, "log": {"file": {"path": path}}} for line in raw]
    docs = {"docs": [{"_index": STREAM, "_source": event} for event in events]}
    tried = opensearch.post("/_ingest/pipeline/twinserve-logs/_simulate", json=docs).json()["docs"]
    made = [entry["doc"]["_source"] for entry in tried]
    body = "".join(json.dumps({"create": {}}) + "\n" + json.dumps(document) + "\n" for document in made)
    headers = {"Content-Type": "application/x-ndjson"}
    answer = opensearch.post(f"/{STREAM}/_bulk?pipeline=_none", content=body, headers=headers).json()
    assert answer.get("errors") is False, answer


def found(documents: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The documents that a query of Lucene's language finds."""
    body = {"query": {"query_string": {"query": query}}, "size": 1000, "sort": ["@timestamp"]}
    answer = documents.post("/logs-twinserve-*/_search", json=body)
    assert answer.status_code == 200, answer.text
    return [hit["_source"] for hit in answer.json()["hits"]["hits"]]


def saved_searches() -> dict[str, dict[str, Any]]:
    """What Kibana is given, by id."""
    text = (ROOT / "deployment" / "kibana" / "saved-objects.ndjson").read_text()
    saved = [json.loads(line) for line in text.splitlines()]
    return {entry["id"]: entry["attributes"] for entry in saved if entry["type"] == "search"}


def query_of(saved: dict[str, Any]) -> str:
    source = json.loads(saved["kibanaSavedObjectMeta"]["searchSourceJSON"])
    assert source["query"]["language"] == "lucene"
    return str(source["query"]["query"])


def test_every_line_is_there_once_and_none_went_wrong(documents: httpx.Client, lines: dict[str, list[str]]) -> None:
    assert len(found(documents, "*")) == sum(len(said) for said in lines.values()) + 4
    assert found(documents, "pipeline_error:*") == []
    for service, said in lines.items():
        assert len(found(documents, f'service.name:"{service}"')) == len(said)


def test_a_log_line_of_ours_gives_its_fields(documents: httpx.Client, lines: dict[str, list[str]]) -> None:
    line = next(json.loads(said) for said in lines["online"] if "not ready: " in said)
    (document,) = found(documents, 'service.name:online AND message:"not ready"')
    assert document["@timestamp"] == line["time"]
    assert (document["level"], document["logger"], document["message"]) == ("WARNING", line["logger"], line["message"])
    (fault,) = found(documents, "exception:ZeroDivisionError")
    assert (fault["level"], fault["message"], fault["extra"]) == ("ERROR", "broken", {"rows": 3})


def test_an_answer_of_the_service_gives_its_particulars(documents: httpx.Client) -> None:
    (document,) = found(documents, query_of(saved_searches()["twinserve-answers"]))
    answer = document["answer"]
    assert (answer["status"], answer["outcome"], answer["request"]) == (503, "model_not_ready", "r-7")
    assert found(documents, "answer.outcome:model_not_ready AND answer.milliseconds:[0 TO 10000]") == [document]


def test_a_line_of_others_stays_what_it_is(documents: httpx.Client, lines: dict[str, list[str]]) -> None:
    (document,) = found(documents, "service.name:postgres")
    assert document["message"] == lines["postgres"][0]
    assert "level" not in document


def test_a_task_is_known_by_its_dag_its_run_and_its_try(documents: httpx.Client) -> None:
    first, warning, failure, result = found(documents, "service.name:airflow-task")
    assert first["airflow"] == {"dag_id": "a_dag", "run_id": "a_run", "task_id": "a_task"}  # by the file's path
    assert warning["airflow"] == ENVELOPE
    assert (warning["level"], warning["logger"], warning["message"]) == ("WARNING", "x", "odd")
    assert (failure["level"], "ValueError" in failure["exception"]) == ("ERROR", True)
    assert result["result"] == '{"rows": 7}'


def test_every_saved_search_finds_something_and_shows_fields_that_are_there(documents: httpx.Client) -> None:
    mapping = documents.get(f"/{STREAM}/_mapping").json()
    fields = set(leaves(next(iter(mapping.values()))["mappings"]["properties"]))
    for name, saved in saved_searches().items():
        assert found(documents, query_of(saved)), name
        assert set(saved["columns"]) <= fields, name


def leaves(properties: dict[str, Any], before: str = "") -> Iterator[str]:
    """Names of the fields of a mapping."""
    for name, field in properties.items():
        if "properties" in field:
            yield from leaves(field["properties"], f"{before}{name}.")
        else:
            yield before + name


def test_failed_requests_are_those_of_the_gateway(documents: httpx.Client) -> None:
    (request,) = found(documents, query_of(saved_searches()["twinserve-failed-requests"]))
    assert request["@timestamp"] == GATEWAY_LINE["time"]
    assert request["request"]["path"] == "/inference"
    assert request["request"]["ms"]["all"] == 4
