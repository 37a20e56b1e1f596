#!/usr/bin/env bash
# The schemas that deploy/'s files are checked against, into a folder: Strimzi's resources (Maven
# Central; its generator needs Java 21 or newer), KEDA's and Compose's (the Go module proxy), those of
# Grafana's dashboards (npm; from its TypeScript types).
set -euo pipefail
folder=$1
here=$(dirname "$0")
rm -rf "$folder"
mkdir -p "$folder/jars"

module() {  # module@version, sha256, file within: standard output
  local zip="$folder/module.zip"
  curl -sSf --retry 3 -o "$zip" "https://proxy.golang.org/${1%@*}/@v/${1#*@}.zip"
  echo "$2  $zip" | sha256sum --quiet -c - >&2
  unzip -p "$zip" "$1/$3"
  rm "$zip"
}

keda=github.com/kedacore/keda/v2@v2.21.0
keda_sum=74b59fe16144250748b716d6dc8789dee52d26164daab732145bed60456013a4
for kind in scaledobjects triggerauthentications; do
  module $keda $keda_sum config/crd/bases/keda.sh_$kind.yaml > "$folder/$kind.yaml"
done
module github.com/compose-spec/compose-go/v2@v2.16.2 75410c9723430b920592093014fc53641f6207e01b52c016c848ba62bf2da805 schema/compose-spec.json \
  > "$folder/compose.json"

cp -r "$here/grafana" "$folder/grafana"
(
  cd "$folder/grafana"
  npm ci --silent --ignore-scripts --no-audit --no-fund
  node node_modules/.bin/ts-json-schema-generator --path dashboard.ts --tsconfig tsconfig.json \
    --type Grafana --expose none --no-type-check --out ../grafana.json
)
rm -r "$folder/grafana"

java=
for candidate in "${JAVA21:-}" "$(command -v java)" /usr/lib/jvm/*/bin/java; do
  version=$("$candidate" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') || continue
  if [ "${version:-0}" -ge 21 ]; then java=$candidate; break; fi
done
[ -n "$java" ] || { echo "Java 21 or newer is needed: set JAVA21=/path/to/java" >&2; exit 1; }
mvn --quiet --batch-mode -f "$here/pom.xml" dependency:copy-dependencies \
  -DoutputDirectory="$(realpath "$folder")/jars" -DincludeScope=runtime
model=io.strimzi.api.kafka.model
"$java" -cp "$folder/jars/*" io.strimzi.crdgenerator.CrdGenerator --yaml --target-kube 1.27+ \
  $model.kafka.Kafka="$folder/kafka.yaml" \
  $model.nodepool.KafkaNodePool="$folder/kafka-node-pool.yaml" \
  $model.user.KafkaUser="$folder/kafka-user.yaml"
rm -r "$folder/jars"
