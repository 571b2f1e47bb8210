#!/usr/bin/env bash
# Once for each Google Cloud project, by its owner; running it again changes nothing that is there already.
#
#   GCP_PROJECT=my-project GITHUB_REPOSITORY=me/wine-quality make cloud
#
# Optional: GCP_REGION (europe-west1), BILLING_ACCOUNT (links it), WANDB_API_KEY (kept as a secret for the API),
# ALERT_EMAIL (who hears of 5xx answers and of an API that is down). Needs gcloud, logged in, and openssl.
set -euo pipefail
cd "$(dirname "$0")"

: "${GCP_PROJECT:?is not set: the id of the Google Cloud project, made if there is none}"
: "${GITHUB_REPOSITORY:?is not set: OWNER/NAME of the repository that may deploy}"
export GCP_PROJECT GCP_REGION=${GCP_REGION:-europe-west1}
export CLOUDSDK_CORE_PROJECT=$GCP_PROJECT CLOUDSDK_CORE_DISABLE_PROMPTS=1
api=wine-quality-api ui=wine-quality-ui deployer=wine-quality-deployer
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

do_it() { echo "+ gcloud $*" && gcloud "$@" --quiet --format=none; }
there() { gcloud "$@" --quiet --format=none >/dev/null 2>&1; } # a failing `describe`: it is not there
account() { echo "$1@$GCP_PROJECT.iam.gserviceaccount.com"; }
allow() { # WHO ROLE ON WHAT…: a role on one thing only
  local who=$1 role=$2
  shift 2
  do_it "$@" --member="$who" --role="$role"
}

echo "── project $GCP_PROJECT"
there projects describe "$GCP_PROJECT" || do_it projects create "$GCP_PROJECT"
[ -z "${BILLING_ACCOUNT:-}" ] || do_it billing projects link "$GCP_PROJECT" --billing-account="$BILLING_ACCOUNT"
do_it services enable run.googleapis.com artifactregistry.googleapis.com secretmanager.googleapis.com \
  iam.googleapis.com iamcredentials.googleapis.com sts.googleapis.com cloudresourcemanager.googleapis.com \
  monitoring.googleapis.com
number=$(gcloud projects describe "$GCP_PROJECT" --format='value(projectNumber)')

echo "── container images"
repository=(wine-quality --location="$GCP_REGION")
there artifacts repositories describe "${repository[@]}" ||
  do_it artifacts repositories create "${repository[@]}" --repository-format=docker --description="wine quality images"
cat >"$scratch/cleanup.json" <<'JSON'
[{"name": "keep-newest", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 10}},
 {"name": "drop-older", "action": {"type": "Delete"}, "condition": {"olderThan": "30d"}}]
JSON
do_it artifacts repositories set-cleanup-policies "${repository[@]}" --policy="$scratch/cleanup.json"

echo "── service accounts"
for name in $api $ui $deployer; do
  there iam service-accounts describe "$(account "$name")" || do_it iam service-accounts create "$name" --display-name="$name"
done

echo "── secrets"
there secrets describe wine-api-key || openssl rand -hex 32 | tr -d '\n' |
  do_it secrets create wine-api-key --replication-policy=automatic --data-file=-
for name in $api $ui $deployer; do # the deployer asks the golden wines with it
  allow "serviceAccount:$(account "$name")" roles/secretmanager.secretAccessor secrets add-iam-policy-binding wine-api-key
done
if [ -n "${WANDB_API_KEY:-}" ]; then
  there secrets describe wandb-api-key || printf %s "$WANDB_API_KEY" |
    do_it secrets create wandb-api-key --replication-policy=automatic --data-file=-
  allow "serviceAccount:$(account $api)" roles/secretmanager.secretAccessor secrets add-iam-policy-binding wandb-api-key
fi

echo "── services, public, with a placeholder until the first release"
python3 release.py settle
for name in $api $ui; do
  allow allUsers roles/run.invoker run services add-iam-policy-binding "$name" --region="$GCP_REGION"
done

echo "── what the deployer may do, and nothing else"
who=serviceAccount:$(account $deployer)
allow "$who" roles/artifactregistry.writer artifacts repositories add-iam-policy-binding "${repository[@]}"
allow "$who" roles/run.viewer projects add-iam-policy-binding "$GCP_PROJECT" --condition=None
for name in $api $ui; do
  allow "$who" roles/run.developer run services add-iam-policy-binding "$name" --region="$GCP_REGION"
  allow "$who" roles/iam.serviceAccountUser iam service-accounts add-iam-policy-binding "$(account "$name")"
done

echo "── keyless deployment, from the main branch of $GITHUB_REPOSITORY only"
there iam workload-identity-pools describe github --location=global ||
  do_it iam workload-identity-pools create github --location=global --display-name=GitHub
provider=(github --workload-identity-pool=github --location=global
  --attribute-mapping="google.subject=assertion.sub,attribute.repository=assertion.repository"
  --attribute-condition="assertion.repository == '$GITHUB_REPOSITORY' && assertion.ref == 'refs/heads/main'")
issuer=https://token.actions.githubusercontent.com
if there iam workload-identity-pools providers describe "${provider[@]:0:3}"; then
  do_it iam workload-identity-pools providers update-oidc "${provider[@]}"
else
  do_it iam workload-identity-pools providers create-oidc "${provider[@]}" --issuer-uri=$issuer
fi
pool=projects/$number/locations/global/workloadIdentityPools/github
allow "principalSet://iam.googleapis.com/$pool/attribute.repository/$GITHUB_REPOSITORY" \
  roles/iam.workloadIdentityUser iam service-accounts add-iam-policy-binding "$(account $deployer)"

echo "── an eye on it"
address=$(gcloud run services describe $api --region="$GCP_REGION" --format='value(status.url)')
host=${address#https://}
[ -n "$(gcloud monitoring uptime list-configs --filter="displayName=$api" --format='value(name)')" ] ||
  do_it monitoring uptime create $api --resource-type=uptime-url --protocol=https --path=/health --period=15 --timeout=30 \
    --resource-labels="host=$host,project_id=$GCP_PROJECT"
channel=
if [ -n "${ALERT_EMAIL:-}" ]; then
  find_channel() { gcloud beta monitoring channels list --filter="displayName=$api" --format='value(name)' --quiet; }
  [ -n "$(find_channel)" ] ||
    do_it beta monitoring channels create --type=email --display-name=$api --channel-labels="email_address=$ALERT_EMAIL"
  channel=$(find_channel)
fi
policy() { # NAME FILTER ALIGNER REDUCER COMPARISON THRESHOLD: an alert where the filtered series crosses it for 5 minutes
  [ -z "$(gcloud alpha monitoring policies list --filter="displayName=\"$1\"" --format='value(name)' --quiet)" ] || return 0
  cat >"$scratch/policy.json" <<JSON
{"displayName": "$1", "combiner": "OR", "conditions": [{"displayName": "$1", "conditionThreshold": {
  "filter": "$2", "comparison": "$5", "thresholdValue": $6, "duration": "300s",
  "aggregations": [{"alignmentPeriod": "300s", "perSeriesAligner": "$3", "crossSeriesReducer": "$4"}]}}]}
JSON
  do_it alpha monitoring policies create --policy-from-file="$scratch/policy.json" ${channel:+--notification-channels="$channel"}
}
policy "wine quality: 5xx answers" \
  'metric.type=\"run.googleapis.com/request_count\" AND resource.type=\"cloud_run_revision\" AND metric.labels.response_code_class=\"5xx\"' \
  ALIGN_RATE REDUCE_SUM COMPARISON_GT 0.02
policy "wine quality: the API is down" \
  "metric.type=\\\"monitoring.googleapis.com/uptime_check/check_passed\\\" AND resource.type=\\\"uptime_url\\\" AND resource.labels.host=\\\"$host\\\"" \
  ALIGN_FRACTION_TRUE REDUCE_MEAN COMPARISON_LT 0.5

cat <<DONE
── done. Tell the repository (gh is GitHub's command line; its settings page does as well):
gh variable set GCP_PROJECT --repo $GITHUB_REPOSITORY --body $GCP_PROJECT
gh variable set GCP_REGION --repo $GITHUB_REPOSITORY --body $GCP_REGION
gh variable set GCP_WORKLOAD_IDENTITY_PROVIDER --repo $GITHUB_REPOSITORY --body $pool/providers/github
DONE
