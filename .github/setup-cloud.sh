#!/usr/bin/env bash
# Once for each Google Cloud project, by its owner; running it again changes nothing that is there already.
#
#   GCP_PROJECT=my-project GITHUB_REPOSITORY=me/wine-quality make cloud
#   GCP_PROJECT=my-project make cloud-remove    takes back what it made, lists what is left, and fails if anything is
#
# Optional: GCP_REGION (europe-west1), BILLING_ACCOUNT (links it), ALERT_EMAIL (who hears of alerts), GITHUB_REPOSITORY_ID
# (else gh is asked for it). Needs gcloud, logged in, and openssl.
set -euo pipefail
cd "$(dirname "$0")"

: "${GCP_PROJECT:?is not set: the id of the Google Cloud project, made if there is none}"
export GCP_PROJECT GCP_REGION=${GCP_REGION:-europe-west1}
export CLOUDSDK_CORE_PROJECT=$GCP_PROJECT CLOUDSDK_CORE_DISABLE_PROMPTS=1
api=wine-quality-api ui=wine-quality-ui builder=wine-quality-builder deployer=wine-quality-deployer
monitor=wine-quality-monitor log=wine-quality-predictions
alerts=("wine quality: 5xx answers" "wine quality: slow answers" "wine quality: the API is down")
repository=(wine-quality --location="$GCP_REGION")
bucket=("$log" --location="$GCP_REGION")
pool=(github --location=global) provider=(github --workload-identity-pool=github --location=global)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

do_it() { echo "+ gcloud $*" && gcloud "$@" --quiet --format=none; }
there() { gcloud "$@" --quiet --format=none >/dev/null 2>&1; } # a failing `describe`: it is not there
state() { gcloud "$@" --format='value(state)' --quiet 2>/dev/null || true; }
lifecycle() { gcloud "$@" --format='value(lifecycleState)' --quiet 2>/dev/null || true; }
account() { echo "$1@$GCP_PROJECT.iam.gserviceaccount.com"; }
allow() { # WHO ROLE ON WHAT…: a role on one thing only
  local who=$1 role=$2
  shift 2
  do_it "$@" --member="$who" --role="$role"
}
find_alert() { gcloud alpha monitoring policies list --filter="displayName=\"$1\"" --format='value(name)' --quiet; }
find_uptime() { gcloud monitoring uptime list-configs --filter="displayName=$api" --format='value(name)' --quiet; }
find_channel() { gcloud beta monitoring channels list --filter="displayName=$api" --format='value(name)' --quiet; }

# What `make cloud` makes: a line for each thing that is there, as the words of gcloud that lead to it and its name.
made() {
  local alert name
  for alert in "${alerts[@]}"; do find_alert "$alert" | sed '/./!d; s/^/alpha monitoring policies delete /'; done
  find_uptime | sed '/./!d; s/^/monitoring uptime delete /'
  find_channel | sed '/./!d; s/^/beta monitoring channels delete /'
  for name in $api $ui; do
    ! there run services describe "$name" --region="$GCP_REGION" || echo "run services delete $name --region=$GCP_REGION"
  done
  for name in wine-api-key wandb-api-key; do ! there secrets describe "$name" || echo "secrets delete $name"; done
  ! there artifacts repositories describe "${repository[@]}" || echo "artifacts repositories delete ${repository[*]}"
  ! there logging sinks describe $log || echo "logging sinks delete $log"
  [ "$(lifecycle logging buckets describe "${bucket[@]}")" != ACTIVE ] || echo "logging buckets delete ${bucket[*]}"
  for name in $api $ui $builder $deployer $monitor; do
    ! there iam service-accounts describe "$(account "$name")" || echo "iam service-accounts delete $(account "$name")"
  done
  case $(state iam workload-identity-pools describe "${pool[@]}") in
    "" | DELETED) ;;
    *) echo "iam workload-identity-pools delete ${pool[*]}" ;;
  esac
}

if [ "${1:-cloud}" = cloud-remove ]; then
  made >"$scratch/made"
  if there iam service-accounts describe "$(account $deployer)"; then
    allow "serviceAccount:$(account $deployer)" roles/run.viewer projects remove-iam-policy-binding "$GCP_PROJECT" --condition=None
  fi
  while read -r line; do
    read -ra words <<<"$line"
    do_it "${words[@]}" </dev/null || echo "── not removed: ${words[*]}"
  done <"$scratch/made"
  made >"$scratch/left"
  echo "── left: the project $GCP_PROJECT itself, its billing and its switched-on interfaces: gcloud projects delete $GCP_PROJECT"
  [ ! -s "$scratch/left" ] || { echo "── LEFT, to be removed by hand:" && sed 's/^/gcloud /' "$scratch/left" && exit 1; }
  exit 0
fi

: "${GITHUB_REPOSITORY:?is not set: OWNER/NAME of the repository that may deploy}"
[[ $GITHUB_REPOSITORY =~ ^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$ ]] ||
  { echo "GITHUB_REPOSITORY=$GITHUB_REPOSITORY cannot be used: it must be OWNER/NAME" >&2 && exit 1; }
id=${GITHUB_REPOSITORY_ID:-$(gh api "repos/$GITHUB_REPOSITORY" --jq .id)}
[[ $id =~ ^[0-9]+$ ]] || { echo "GITHUB_REPOSITORY_ID=$id cannot be used: it must be a number" >&2 && exit 1; }

echo "── project $GCP_PROJECT"
there projects describe "$GCP_PROJECT" || do_it projects create "$GCP_PROJECT"
[ -z "${BILLING_ACCOUNT:-}" ] || do_it billing projects link "$GCP_PROJECT" --billing-account="$BILLING_ACCOUNT"
do_it services enable run.googleapis.com artifactregistry.googleapis.com secretmanager.googleapis.com \
  iam.googleapis.com iamcredentials.googleapis.com sts.googleapis.com cloudresourcemanager.googleapis.com \
  monitoring.googleapis.com logging.googleapis.com
number=$(gcloud projects describe "$GCP_PROJECT" --format='value(projectNumber)')

echo "── container images"
there artifacts repositories describe "${repository[@]}" ||
  do_it artifacts repositories create "${repository[@]}" --repository-format=docker --description="wine quality images"
cat >"$scratch/cleanup.json" <<'JSON'
[{"name": "keep-newest", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 10}},
 {"name": "drop-older", "action": {"type": "Delete"}, "condition": {"olderThan": "30d"}}]
JSON
do_it artifacts repositories set-cleanup-policies "${repository[@]}" --policy="$scratch/cleanup.json"

echo "── service accounts"
for name in $api $ui $builder $deployer $monitor; do
  there iam service-accounts describe "$(account "$name")" || do_it iam service-accounts create "$name" --display-name="$name"
done

echo "── the API's key"
there secrets describe wine-api-key || openssl rand -hex 32 | tr -d '\n' |
  do_it secrets create wine-api-key --replication-policy=automatic --data-file=-
for name in $api $ui $deployer; do # the deployer asks the golden wines with it
  allow "serviceAccount:$(account "$name")" roles/secretmanager.secretAccessor secrets add-iam-policy-binding wine-api-key
done

echo "── services, public, with a placeholder until the first release"
python3 release.py settle
for name in $api $ui; do
  allow allUsers roles/run.invoker run services add-iam-policy-binding "$name" --region="$GCP_REGION"
done

echo "── what builder and deployer may do, and nothing else"
who=serviceAccount:$(account $deployer)
allow "serviceAccount:$(account $builder)" roles/artifactregistry.writer \
  artifacts repositories add-iam-policy-binding "${repository[@]}"
allow "$who" roles/artifactregistry.reader artifacts repositories add-iam-policy-binding "${repository[@]}"
allow "$who" roles/run.viewer projects add-iam-policy-binding "$GCP_PROJECT" --condition=None
for name in $api $ui; do
  allow "$who" roles/run.developer run services add-iam-policy-binding "$name" --region="$GCP_REGION"
  allow "$who" roles/iam.serviceAccountUser iam service-accounts add-iam-policy-binding "$(account "$name")"
done

echo "── predictions, kept until grades come back, and read by the weekly look at them alone"
case $(lifecycle logging buckets describe "${bucket[@]}") in
  "") do_it logging buckets create "${bucket[@]}" --retention-days=400 --description="predictions, until grades come back" ;;
  DELETE_REQUESTED) do_it logging buckets undelete "${bucket[@]}" ;; # Google keeps a removed one, and its name, for a week
esac
there logging sinks describe $log ||
  do_it logging sinks create $log "logging.googleapis.com/projects/$GCP_PROJECT/locations/$GCP_REGION/buckets/$log" \
    --log-filter="resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"$api\" AND jsonPayload.message=(\"prediction\" OR \"refused\")"
allow "serviceAccount:$(account $monitor)" roles/logging.viewAccessor \
  logging views add-iam-policy-binding _AllLogs --bucket=$log --location="$GCP_REGION"

echo "── keyless, from the main branch of the repository with the number $id; deploying and looking from environments of theirs"
case $(state iam workload-identity-pools describe "${pool[@]}") in
  "") do_it iam workload-identity-pools create "${pool[@]}" --display-name=GitHub ;;
  DELETED) do_it iam workload-identity-pools undelete "${pool[@]}" ;; # Google keeps a removed one, and its name, for a month
esac
rules=(--attribute-mapping="google.subject=assertion.sub,attribute.repository_id=assertion.repository_id"
  --attribute-condition="assertion.repository_id == '$id' && assertion.ref == 'refs/heads/main'")
case $(state iam workload-identity-pools providers describe "${provider[@]}") in
  "") do_it iam workload-identity-pools providers create-oidc "${provider[@]}" "${rules[@]}" \
    --issuer-uri=https://token.actions.githubusercontent.com ;;
  DELETED) do_it iam workload-identity-pools providers undelete "${provider[@]}" ;;&
  *) do_it iam workload-identity-pools providers update-oidc "${provider[@]}" "${rules[@]}" ;;
esac
identities=projects/$number/locations/global/workloadIdentityPools/github
subject=principal://iam.googleapis.com/$identities/subject/repo:$GITHUB_REPOSITORY
for pair in "$builder $subject:ref:refs/heads/main" "$monitor $subject:environment:monitoring" "$deployer $subject:environment:production"; do
  allow "${pair#* }" roles/iam.workloadIdentityUser iam service-accounts add-iam-policy-binding "$(account "${pair%% *}")"
done

echo "── an eye on it"
address=$(gcloud run services describe $api --region="$GCP_REGION" --format='value(status.url)')
host=${address#https://}
[ -n "$(find_uptime)" ] ||
  do_it monitoring uptime create $api --resource-type=uptime-url --protocol=https --path=/health --period=15 --timeout=30 \
    --resource-labels="host=$host,project_id=$GCP_PROJECT"
channel=
if [ -n "${ALERT_EMAIL:-}" ]; then
  [ -n "$(find_channel)" ] ||
    do_it beta monitoring channels create --type=email --display-name=$api --channel-labels="email_address=$ALERT_EMAIL"
  channel=$(find_channel)
fi
policy() { # NAME FILTER ALIGNER REDUCER COMPARISON THRESHOLD: an alert where the filtered series crosses it for 5 minutes
  [ -z "$(find_alert "$1")" ] || return 0
  cat >"$scratch/policy.json" <<JSON
{"displayName": "$1", "combiner": "OR", "conditions": [{"displayName": "$1", "conditionThreshold": {
  "filter": "$2", "comparison": "$5", "thresholdValue": $6, "duration": "300s",
  "aggregations": [{"alignmentPeriod": "300s", "perSeriesAligner": "$3", "crossSeriesReducer": "$4"}]}}]}
JSON
  do_it alpha monitoring policies create --policy-from-file="$scratch/policy.json" ${channel:+--notification-channels="$channel"}
}
policy "${alerts[0]}" \
  'metric.type=\"run.googleapis.com/request_count\" AND resource.type=\"cloud_run_revision\" AND metric.labels.response_code_class=\"5xx\"' \
  ALIGN_RATE REDUCE_SUM COMPARISON_GT 0.02
policy "${alerts[1]}" \
  "metric.type=\\\"run.googleapis.com/request_latencies\\\" AND resource.type=\\\"cloud_run_revision\\\" AND resource.labels.service_name=\\\"$api\\\"" \
  ALIGN_PERCENTILE_95 REDUCE_MAX COMPARISON_GT 2000
policy "${alerts[2]}" \
  "metric.type=\\\"monitoring.googleapis.com/uptime_check/check_passed\\\" AND resource.type=\\\"uptime_url\\\" AND resource.labels.host=\\\"$host\\\"" \
  ALIGN_FRACTION_TRUE REDUCE_MEAN COMPARISON_LT 0.5

cat <<DONE
── done. Tell the repository (gh is GitHub's command line; its settings page does as well):
gh variable set GCP_PROJECT --repo $GITHUB_REPOSITORY --body $GCP_PROJECT
gh variable set GCP_REGION --repo $GITHUB_REPOSITORY --body $GCP_REGION
gh variable set GCP_WORKLOAD_IDENTITY_PROVIDER --repo $GITHUB_REPOSITORY --body $identities/providers/github
── and protect the environment production there: whom you name as its reviewer is asked before each deployment.
DONE
