#!/bin/bash
# Lays down what log lines need before the first one comes: passwords, a role, the life cycle, the ingest pipeline, the
# index template. Run at each start; what is there already is set to what these files say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
server=http://elasticsearch:9200

# the password goes in by a file descriptor: on the command line it could be read by anyone who sees processes
call() { # METHOD PATH BODY, the body's text, and its TYPE
    curl --silent --show-error --fail-with-body --output /dev/null --retry 5 --retry-connrefused \
        --config <(printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD") \
        --header "Content-Type: application/${4:-json}" --request "$1" "$server/$2" --data-binary @- <<<"$3"
    echo "$2"
}

call POST _security/user/kibana_system/_password "{\"password\": \"$KIBANA_PASSWORD\"}"
call PUT _security/role/filebeat_writer "$(<writer-role.json)"
call PUT _security/user/filebeat_writer "{\"password\": \"$FILEBEAT_PASSWORD\", \"roles\": [\"filebeat_writer\"]}"
call PUT _ilm/policy/twinserve-logs "$(<life-cycle.json)"
call PUT _ingest/pipeline/twinserve-logs "$(<pipeline.yml)" yaml
call PUT _index_template/twinserve-logs "$(<index-template.json)"
