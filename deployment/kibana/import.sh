#!/bin/bash
# Puts the data view and the saved searches into Kibana; what was changed on its pages under their names is set back.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

answer=$(curl --silent --show-error --fail-with-body --retry 10 --retry-connrefused \
    --config <(printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD") --header 'kbn-xsrf: true' \
    --form file=@saved-objects.ndjson 'http://kibana:5601/api/saved_objects/_import?overwrite=true')
echo "$answer"
[[ $answer == *'"success":true'* ]]
