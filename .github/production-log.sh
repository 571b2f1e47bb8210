#!/usr/bin/env bash
# Production's prediction log, from the bucket of Cloud Logging where `make cloud` has it kept.
#
#   GCP_PROJECT=my-project make log             the last seven days, into a file of their own in artifacts/log/
#   GCP_PROJECT=my-project make log SINCE=13w   as far back as that: s, m, h, d or w
#
# What two files of the folder share counts once, so that LOG=artifacts/log/ may name it whole. Optional: GCP_REGION
# (europe-west1). Needs gcloud, logged in as somebody who may view the bucket.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${GCP_PROJECT:?is not set: the id of the Google Cloud project whose log is wanted}"
since=${SINCE:-7d}
[[ $since =~ ^[1-9][0-9]*[smhdw]$ ]] ||
  { echo "SINCE=$since cannot be used: it must be a number and s, m, h, d or w, such as 7d" >&2 && exit 1; }
command -v gcloud >/dev/null || { echo "gcloud is not on PATH: install it, and log in with it" >&2 && exit 1; }
mkdir -p artifacts/log
scratch=$(mktemp artifacts/log.XXXXXX) path=artifacts/log/$(date -u +%Y-%m-%dT%H%M%SZ).json.gz
trap 'rm -f "$scratch"' EXIT
# --freshness: without it gcloud looks back for one day only
gcloud logging read 'jsonPayload.message=("prediction" OR "refused")' --freshness="$since" --format=json --project="$GCP_PROJECT" \
  --bucket=wine-quality-predictions --location="${GCP_REGION:-europe-west1}" --view=_AllLogs --quiet | gzip >"$scratch"
mv "$scratch" "$path" # whole or not at all
echo "$path"
