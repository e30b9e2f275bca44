"""The profile `streaming`: the broker of the Compose file takes records, keeps them over a restart, gives them back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from profile_project import ProfileProject, profile_project

pytestmark = [pytest.mark.docker, pytest.mark.integration]
BROKER = ("--bootstrap-server", "kafka:9092")
TOPIC = ("--topic", "events")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProfileProject]:
    with profile_project(tmp_path_factory.mktemp("kafka"), "streaming", "none") as project:
        project.start("kafka")
        yield project


def tool(kafka: ProfileProject, name: str, *words: str, stdin: str = "") -> str:
    """A command-line tool of Kafka, in the broker's container."""
    return kafka.execute("kafka", f"/opt/kafka/bin/kafka-{name}.sh", *BROKER, *words, stdin=stdin)


def consumed(kafka: ProfileProject, count: int) -> list[dict[str, int]]:
    """The topic's first records."""
    words = ("--from-beginning", "--max-messages", str(count), "--timeout-ms", "30000")
    return [json.loads(line) for line in tool(kafka, "console-consumer", *TOPIC, *words).splitlines()]


def test_records_are_there_after_a_restart_in_their_order(kafka: ProfileProject) -> None:
    tool(kafka, "topics", "--create", *TOPIC, "--partitions", "1", "--replication-factor", "1")
    sent = [{"number": number} for number in range(100)]
    tool(kafka, "console-producer", *TOPIC, stdin="".join(json.dumps(record) + "\n" for record in sent))
    assert consumed(kafka, 100) == sent

    kafka.compose.run("restart", "kafka")
    kafka.start("kafka")
    assert consumed(kafka, 100) == sent


def test_a_topic_that_is_misspelt_is_not_made(kafka: ProfileProject) -> None:
    tool(kafka, "console-producer", "--topic", "evnts", "--producer-property", "max.block.ms=3000", stdin="{}\n")
    assert "evnts" not in tool(kafka, "topics", "--list").split()
