#!/usr/bin/env bash
# Before traffic: both images that are noted here and the model in artifacts/image come from this repository's workflow
# `main`, on its main branch, from this very commit; or a sentence and exit 1.
#
#   ATTESTED_BY=OWNER/NAME make verify
#
# Needs gh 2.67 or newer (older ones exit 0 where an attestation is missing), jq, and a login to where the images lie.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "verify: $*" >&2 && exit 1; }
if [ -z "${ATTESTED_BY:-}" ]; then
  echo "::notice title=Not verified::this repository does not attest what it builds (a private one needs GitHub Enterprise Cloud, and then the variable ATTEST=on): what is deployed is known by its digests alone"
  exit 0
fi
version=$(gh --version | sed -nE '1s/^gh version ([0-9]+)\.([0-9]+).*/\1 \2/p')
read -r major minor <<<"${version:-0 0}"
[ "$major" -gt 2 ] || { [ "$major" = 2 ] && [ "$minor" -ge 67 ]; } ||
  fail "gh $major.$minor cannot be relied on for attestations: install gh 2.67 or newer"

provenance=https://slsa.dev/provenance/v1
verify() { # SUBJECT DIGEST
  local said
  said=$(gh attestation verify "$1" --repo "$ATTESTED_BY" --signer-workflow "$ATTESTED_BY/.github/workflows/main.yml" \
    --source-ref refs/heads/main --source-digest "$commit" --predicate-type $provenance --format json) ||
    fail "nothing of this commit's workflow attests $1"
  jq --exit-status --arg digest "$2" --arg kind $provenance 'length > 0 and all(.[]; .verificationResult.statement |
    .predicateType == $kind and any(.subject[]; .digest.sha256 == $digest))' <<<"$said" >/dev/null ||
    fail "what attests $1 is about something else"
  echo "attested by $ATTESTED_BY: $1"
}

commit=$(jq --raw-output .commit artifacts/containers.json)
for image in $(jq --raw-output '.pushed[]' artifacts/containers.json); do
  verify "oci://$image" "${image##*:}"
done

# The digest of a version is that of what `sha256sum` says of its files: registry, record and API name it by that.
bundle=artifacts/image/$(jq --raw-output '"\(.model)/\(.version)"' artifacts/image/release.json)
sums=$(mktemp)
trap 'rm -f "$sums"' EXIT
(cd "$bundle" && find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum) >"$sums"
digest=$(jq --raw-output .digest artifacts/image/release.json)
[ "$(sha256sum <"$sums")" = "$digest  -" ] || fail "$bundle does not hold what its record says"
verify "$sums" "$digest"
