# shellcheck shell=bash
# What the bats files share: a checkout of its own, a cloud of files, and secrets that must turn up nowhere.

TOKEN=aabbccddeeff00112233445566778899
KEY=AIzaPlantedGeminiKey0123456789
REDIS=rediss://:planted-redis-password@10.0.0.3:6378
API_SECRET=planted-twilio-api-secret-0123
export SID=AC0123456789abcdef0123456789abcdef

make_checkout() {
  local source
  source=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  CHECKOUT="$BATS_FILE_TMPDIR/checkout"
  mkdir -p "$CHECKOUT/callbot"
  cp -r "$source/deploy.sh" "$source/deploy" "$source/Dockerfile" "$source/.dockerignore" "$source/.gcloudignore" "$CHECKOUT"
  : >"$CHECKOUT/requirements.lock"
  : >"$CHECKOUT/callbot/__init__.py"
  (cd "$CHECKOUT" && git init -q . && git add -A && git -c user.name=t -c user.email=t@example.com commit -q -m one)
  export CHECKOUT
}

make_cloud() {
  export CLOUD="$BATS_TEST_TMPDIR/cloud"
  # What the script makes for itself is made here, and looked through here: the machine's own folder has other people's files.
  export TMPDIR="$BATS_TEST_TMPDIR/tmp"
  mkdir -p "$CLOUD/secrets" "$TMPDIR"
  : >"$CLOUD/calls"
  export PATH="$BATS_TEST_DIRNAME/fakes:$PATH"
  # Nothing of the machine's own settings comes in.
  unset GOOGLE_CLOUD_PROJECT GOOGLE_CLOUD_LOCATION GOOGLE_GENAI_USE_VERTEXAI GOOGLE_GENAI_MODEL TWILIO_ACCOUNT_SID REDIS_URL
  unset TWILIO_AUTH_TOKEN GEMINI_API_KEY TWILIO_API_KEY TWILIO_API_SECRET GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
}

with_secrets() {
  export TWILIO_AUTH_TOKEN=$TOKEN GEMINI_API_KEY=$KEY
}

# deploy OPTION...: runs the script without a terminal; `output` has all that it said, "$CLOUD/stdout" its stdout alone.
deploy() {
  run bash -c '{ "$0" "$@" 2>&1 1>&3 3>&- </dev/null | cat; exit "${PIPESTATUS[0]}"; } 3>"$CLOUD/stdout"' \
    "$CHECKOUT/deploy.sh" --project=fake-project "$@"
  output+=$'\n'$(<"$CLOUD/stdout")
}

# The calls that change something.
changes() {
  grep -E ' (create|add|delete|submit|deploy|update|add-iam-policy-binding|remove-iam-policy-binding) |IncomingPhoneNumbers/' \
    "$CLOUD/calls" || true
}

# The calls are logged as a shell would need them; without its backslashes they are easier to look for.
unescaped() {
  tr -d '\134'
}

deployed() {
  grep 'run deploy' "$CLOUD/calls" | unescaped
}

# One line of refusal that has both texts, exit code 2, and nothing changed.
refused_with() {
  if [[ $status != 2 ]]; then echo "exit $status: $output"; return 1; fi
  local line found=0
  while read -r line; do
    [[ $line != "deploy.sh: "* ]] || found=$((found + 1))
  done <<<"$output"
  if [[ $found != 1 ]]; then echo "$found lines of refusal: $output"; return 1; fi
  for line in "$@"; do
    [[ $output == *"$line"* ]] || { echo "not said: $line; but: $output"; return 1; }
  done
  if [[ -n $(changes) ]]; then echo "changed: $(changes)"; return 1; fi
}

# `! grep` alone would never fail a test: bash leaves a negated command out of `set -e`.
absent() {
  if grep "$@"; then echo "found: $*"; return 1; fi
}

succeeded() {
  [[ $status == 0 ]] || { echo "exit $status: $output"; return 1; }
}

# The secrets are where they belong and nowhere else: not in what was printed, not in arguments, not in files.
no_secret_anywhere() {
  local secret
  for secret in "$TOKEN" "$KEY" "$REDIS" planted-redis-password "$API_SECRET" planted-access-token; do
    [[ $output != *"$secret"* ]] || { echo "printed: $secret"; return 1; }
    ! grep -qF -- "$secret" "$CLOUD/calls" || { echo "in arguments: $secret"; return 1; }
    ! grep -rqF -- "$secret" "$CHECKOUT" || { echo "in the checkout: $secret"; return 1; }
  done
  ! grep -rlF -e "$TOKEN" -e "$KEY" -e planted "$TMPDIR" || return 1
}
