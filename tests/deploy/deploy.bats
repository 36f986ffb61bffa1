#!/usr/bin/env bats
# deploy.sh against a cloud of files: what it does, in which order, and that it does nothing twice.

load support

setup_file() { make_checkout; }
setup() { make_cloud; }

@test "a dry run prints exactly the commands, in order, twice the same, and changes nothing" {
  with_secrets
  deploy --dry-run --account-sid="$SID" --number=+14155550100
  succeeded
  tag=$(git -C "$CHECKOUT" rev-parse --short=12 HEAD)
  sed -e "s|$CHECKOUT|CHECKOUT|g" -e "s|$tag|COMMIT|g" "$CLOUD/stdout" >"$CLOUD/commands"
  diff -u "$BATS_TEST_DIRNAME/dry-run.expected" "$CLOUD/commands"
  cp "$CLOUD/stdout" "$CLOUD/first"
  deploy --dry-run --account-sid="$SID" --number=+14155550100
  succeeded
  diff -u "$CLOUD/first" "$CLOUD/stdout"
  [[ -z $(changes) ]]
  no_secret_anywhere
}

@test "a secret in a temporary file that is left behind would be found" {
  with_secrets
  deploy --dry-run
  no_secret_anywhere
  printf '%s\n' "$TOKEN" >"$(mktemp)"
  run no_secret_anywhere
  [[ $status != 0 && $output == *"$TMPDIR/tmp."* ]]
}

@test "a dry run with everything there already would only deploy" {
  with_secrets
  deploy --yes
  succeeded
  : >"$CLOUD/calls"
  deploy --dry-run
  succeeded
  [[ $(wc -l <"$CLOUD/stdout") == 1 ]]
  [[ $(<"$CLOUD/stdout") == "gcloud run deploy callbot "* ]]
  [[ -z $(changes) ]]
}

@test "a dry run runs as printed: the same commands, apart from the digest and what goes to standard input" {
  with_secrets
  deploy --dry-run
  succeeded
  sed -e 's/ # a secret on standard input//' -e 's/sha256:DIGEST_OF_THE_BUILD/sha256:DIGEST/' \
    -e "s/ --format=value.*basename.*//" "$CLOUD/stdout" >"$CLOUD/planned"
  : >"$CLOUD/calls"
  deploy
  succeeded
  changes | sed -E -e 's/sha256:[0-9]{64}/sha256:DIGEST/' -e "s/ --format=value.*basename.*//" >"$CLOUD/done"
  diff -u "$CLOUD/planned" "$CLOUD/done"
}

@test "the first deployment makes the account, the secrets, the repository, the image and the service, in this order" {
  with_secrets
  deploy
  succeeded
  order=$(changes | awk '{print $2, $3, $4}' | uniq)
  expected='iam service-accounts create
secrets create callbot-twilio-auth-token
secrets versions add
secrets add-iam-policy-binding callbot-twilio-auth-token
secrets create callbot-gemini-api-key
secrets versions add
secrets add-iam-policy-binding callbot-gemini-api-key
artifacts repositories create
builds submit '"$CHECKOUT"'
run deploy callbot'
  diff <(echo "$expected") <(echo "$order")
  [[ $(<"$CLOUD/secrets/callbot-twilio-auth-token/1") == "$TOKEN" ]]
  [[ $(<"$CLOUD/secrets/callbot-gemini-api-key/1") == "$KEY" ]]
  no_secret_anywhere
}

@test "a second run makes a new revision and nothing else" {
  with_secrets
  deploy
  : >"$CLOUD/calls"
  unset TWILIO_AUTH_TOKEN GEMINI_API_KEY
  deploy
  succeeded
  [[ $(changes | wc -l) == 1 ]]
  [[ $(changes) == "gcloud run deploy callbot "* ]]
}

@test "the settings of Cloud Run are the planned ones, and the image is deployed by digest" {
  with_secrets
  deploy
  command=$(grep 'run deploy' "$CLOUD/calls")
  for flag in --min-instances=1 --timeout=3600 --memory=2Gi --cpu=2 --session-affinity --concurrency=1 --no-cpu-throttling \
    --max-instances=20 --allow-unauthenticated --ingress=all --no-use-http2 --execution-environment=gen2 --cpu-boost \
    --service-account=callbot-run@fake-project.iam.gserviceaccount.com \
    --set-secrets=TWILIO_AUTH_TOKEN=callbot-twilio-auth-token:1,GEMINI_API_KEY=callbot-gemini-api-key:1; do
    [[ " ${command//\\/} " == *" $flag "* ]] || { echo "missing: $flag in $command"; return 1; }
  done
  [[ $command == *@sha256:0000000000* ]]
  [[ $command == *SERVICE_URL=https://callbot-123456789012.us-central1.run.app* ]]
  [[ $command == *httpGet.path=/readyz* && $command == *httpGet.path=/healthz* ]]
}

@test "each setting can be overridden by an option" {
  with_secrets
  deploy --min-instances=2 --max-instances=3 --timeout=900 --memory=4Gi --cpu=4 --no-session-affinity --concurrency=50 \
    --cpu-throttling --region=europe-west1 --service=line --no-invoker-iam-check --max-calls=30 --model=gemini-3.8-live \
    --env=CALLBOT_VOICE=Puck --env=CALLBOT_DENY_CALLERS=+1900,+1976 --service-url=https://bot.example
  succeeded
  command=$(deployed)
  for part in 'run deploy line ' --min-instances=2 --max-instances=3 --timeout=900 --memory=4Gi --cpu=4 --no-session-affinity \
    --concurrency=50 ' --cpu-throttling ' --region=europe-west1 --no-invoker-iam-check CALLBOT_MAX_CALLS=30 \
    GOOGLE_GENAI_MODEL=gemini-3.8-live CALLBOT_VOICE=Puck CALLBOT_DENY_CALLERS=+1900,+1976 SERVICE_URL=https://bot.example; do
    [[ $command == *"$part"* ]] || { echo "missing: $part in $command"; return 1; }
  done
  [[ $command != *--allow-unauthenticated* && $command != *--no-cpu-throttling* ]]
  [[ $output == *"room for 90 calls at once: 3 instances, 30 on each"* ]]
  [[ $output == *"without Redis each instance knows only its own calls"* ]]
}

@test "each setting can be overridden by a variable, and an option wins over it" {
  with_secrets
  DEPLOY_MEMORY=4Gi DEPLOY_CONCURRENCY=10 DEPLOY_TIMEOUT=600 DEPLOY_SESSION_AFFINITY=no DEPLOY_CPU_THROTTLING=yes \
    deploy --timeout 1200
  succeeded
  command=$(grep 'run deploy' "$CLOUD/calls")
  [[ $command == *--memory=4Gi* && $command == *--concurrency=10* && $command == *--timeout=1200* ]]
  [[ $command == *--no-session-affinity* && $command == *" --cpu-throttling "* ]]
  [[ $command == *CALLBOT_MAX_CALLS=8* ]]
}

@test "calls per instance set concurrency, calls, CPU, memory and workers" {
  with_secrets
  while IFS='|' read -r calls flags; do
    store=()
    ((calls <= 40)) || store=(--redis-url-secret=callbot-redis)
    export REDIS_URL=$REDIS
    deploy --dry-run --calls-per-instance="$calls" ${store[@]+"${store[@]}"}
    succeeded
    command=" $(grep 'run deploy' "$CLOUD/stdout")|~|"
    command=${command//\\/}
    for flag in $flags "CALLBOT_MAX_CALLS=$calls|~|"; do
      [[ $command == *"$flag"* ]] || { echo "$calls: missing $flag in $command"; return 1; }
    done
    ((calls > 40)) || [[ $command != *CALLBOT_WORKERS* ]]
  done <<'CASES'
1|--concurrency=1 --cpu=1 --memory=512Mi
2|--concurrency=3 --cpu=1 --memory=512Mi
40|--concurrency=50 --cpu=1 --memory=512Mi
41|--concurrency=52 --cpu=2 --memory=1Gi CALLBOT_WORKERS=auto
100|--concurrency=125 --cpu=4 --memory=2Gi CALLBOT_WORKERS=auto
320|--concurrency=400 --cpu=8 --memory=4Gi CALLBOT_WORKERS=auto
CASES
  deploy --dry-run --calls-per-instance=40 --memory=1Gi
  [[ $(<"$CLOUD/stdout") == *--memory=1Gi*--cpu=1* ]]
}

@test "callbot itself looks at the settings before anything is changed" {
  [[ -n ${CALLBOT_PYTHON:-} ]] || skip "run by pytest, which says where callbot is installed"
  mkdir -p "$CHECKOUT/.venv/bin"
  # shellcheck disable=SC2016 # for the script that is written
  printf '#!/bin/sh\nPYTHONPATH=%s exec %s -m callbot "$@"\n' "$BATS_TEST_DIRNAME/../.." "$CALLBOT_PYTHON" >"$CHECKOUT/.venv/bin/callbot"
  chmod +x "$CHECKOUT/.venv/bin/callbot"
  with_secrets
  deploy --dry-run --env=CALLBOT_VOICE=Puck
  good=$status
  deploy --env=CALLBOT_VOICES=Puck
  unknown=$output
  deploy --model=gemini-pro
  rm -r "$CHECKOUT/.venv"
  [[ $good == 0 ]]
  [[ $unknown == *"CALLBOT_VOICES is no setting of callbot's; did you mean CALLBOT_VOICE?"* ]]
  [[ $status == 2 && $output == *"GOOGLE_GENAI_MODEL has a name that is no Live model's"* ]]
  [[ -z $(changes) ]]
}

@test "the calls admitted leave room for webhooks" {
  with_secrets
  for pair in 1:1 2:1 5:4 10:8 40:32 1000:800; do
    deploy --dry-run --concurrency="${pair%:*}"
    [[ $(<"$CLOUD/stdout") == *"CALLBOT_MAX_CALLS=${pair#*:}"* ]] || { echo "$pair"; return 1; }
  done
}

@test "a prompt with commas, quotes and lines arrives whole" {
  with_secrets
  printf 'Hello, "you".\nSecond | line, a=b' >"$CLOUD/prompt"
  deploy --prompt-file="$CLOUD/prompt"
  succeeded
  grep -F "CALLBOT_PROMPT=Hello, \"you\"." <(eval "printf '%s\n' $(grep 'run deploy' "$CLOUD/calls")")
  grep -F 'Second | line, a=b' <(eval "printf '%s\n' $(grep 'run deploy' "$CLOUD/calls")")
}

@test "Vertex needs no key: the account gets the role, once" {
  export TWILIO_AUTH_TOKEN=$TOKEN
  deploy --vertex
  succeeded
  command=$(deployed)
  [[ $command == *GOOGLE_GENAI_USE_VERTEXAI=1* && $command == *GOOGLE_CLOUD_PROJECT=fake-project* ]]
  [[ $command == *GOOGLE_CLOUD_LOCATION=us-central1* && $command != *GEMINI_API_KEY* ]]
  [[ $(grep -c 'role=roles/aiplatform.user --condition' "$CLOUD/calls") == 1 ]]
  : >"$CLOUD/calls"
  deploy --vertex --location=europe-west4
  succeeded
  [[ $(changes | wc -l) == 1 ]]
  [[ $(changes) == *GOOGLE_CLOUD_LOCATION=europe-west4* ]]
}

@test "a binding to a new account is tried again while Google does not know it yet" {
  export TWILIO_AUTH_TOKEN=$TOKEN
  CLOUD_WITHOUT=propagation deploy --vertex
  succeeded
  [[ $(grep -c 'projects add-iam-policy-binding' "$CLOUD/calls") == 2 ]]
}

@test "Redis comes with its secret and its network" {
  with_secrets
  export REDIS_URL=$REDIS
  deploy --redis-url-secret=callbot-redis --network=default --subnet=callbot --max-instances=5
  succeeded
  command=$(deployed)
  [[ $command == *REDIS_URL=callbot-redis:1* && $command == *"--network=default --subnet=callbot --vpc-egress=private-ranges-only"* ]]
  [[ $(<"$CLOUD/secrets/callbot-redis/1") == "$REDIS" ]]
  [[ $output != *Warning* ]]
  no_secret_anywhere
}

@test "further secrets go by name, and never by --env" {
  with_secrets
  export CALLBOT_METRICS_TOKEN=a-metrics-token
  deploy --secret=CALLBOT_METRICS_TOKEN=callbot-metrics
  succeeded
  [[ $(deployed) == *CALLBOT_METRICS_TOKEN=callbot-metrics:1* ]]
  [[ $output != *a-metrics-token* ]]
}

@test "a secret that is there is used as it is; --rotate-secrets adds a version" {
  with_secrets
  deploy
  export TWILIO_AUTH_TOKEN=ffeeddccbbaa99887766554433221100
  unset GEMINI_API_KEY
  deploy
  succeeded
  [[ ! -e "$CLOUD/secrets/callbot-twilio-auth-token/2" ]]
  [[ $output == *"not from the environment"* ]]
  deploy --dry-run --rotate-secrets
  [[ $(<"$CLOUD/stdout") == *callbot-twilio-auth-token:2* ]]
  : >"$CLOUD/calls"
  deploy --rotate-secrets
  succeeded
  [[ $(<"$CLOUD/secrets/callbot-twilio-auth-token/2") == ffeeddccbbaa99887766554433221100 ]]
  [[ $(deployed) == *callbot-twilio-auth-token:2,GEMINI_API_KEY=callbot-gemini-api-key:1* ]]
}

@test "a commit is built once; changed work and --rebuild are built again" {
  with_secrets
  deploy
  : >"$CLOUD/calls"
  deploy --rebuild
  [[ $(grep -c 'builds submit' "$CLOUD/calls") == 1 ]]
  echo '# changed' >"$CHECKOUT/callbot/__init__.py"
  : >"$CLOUD/calls"
  deploy
  git -C "$CHECKOUT" checkout -q callbot/__init__.py
  succeeded
  [[ $(grep 'builds submit' "$CLOUD/calls") == *-changed* ]]
}

@test "an image that is there is deployed without a build" {
  with_secrets
  image=example.pkg.dev/p/r/callbot@sha256:$(printf '%064d' 9)
  deploy --image="$image"
  succeeded
  absent -q -e 'builds submit' -e 'repositories create' "$CLOUD/calls"
  [[ $(grep 'run deploy' "$CLOUD/calls") == *"--image=$image "* ]]
}

@test "outside git the image is built under a plain name" {
  with_secrets
  cp -r "$CHECKOUT" "$CLOUD/plain"
  rm -rf "$CLOUD/plain/.git"
  CHECKOUT="$CLOUD/plain" GIT_CEILING_DIRECTORIES="$CLOUD" deploy --dry-run
  succeeded
  [[ $(<"$CLOUD/stdout") == *callbot:unversioned* ]]
}

@test "the project comes from gcloud when nobody names it" {
  with_secrets
  run "$CHECKOUT/deploy.sh" --dry-run
  succeeded
  [[ $output == *"--project=configured-project"* ]]
}

@test "a number is pointed at the service: voice, fallback and status" {
  with_secrets
  deploy --account-sid="$SID" --number=+14155550100
  succeeded
  command=$(grep 'IncomingPhoneNumbers/PN' "$CLOUD/calls" | unescaped)
  url=https://callbot-123456789012.us-central1.run.app
  for part in "VoiceUrl=$url/twiml " VoiceMethod=POST "VoiceFallbackUrl=$url/twiml " "StatusCallback=$url/twilio/status " \
    StatusCallbackMethod=POST; do
    [[ $command == *"$part"* ]] || { echo "missing: $part in $command"; return 1; }
  done
  [[ $(grep -n 'run deploy' "$CLOUD/calls" | cut -d: -f1) -lt $(grep -n 'IncomingPhoneNumbers/PN' "$CLOUD/calls" | cut -d: -f1) ]]
  grep -qF "user = \"$SID:$TOKEN\"" "$CLOUD/curl-input"
  no_secret_anywhere
}

@test "the number's credentials: an API key when there is one, else the token from Secret Manager" {
  with_secrets
  export TWILIO_API_KEY=SK00000000000000000000000000000001 TWILIO_API_SECRET=$API_SECRET
  CLOUD_WITHOUT=twilio-auth deploy --account-sid="$SID" --number=+14155550100 --fallback-url=https://handler.twilio.com/twiml/EH1
  succeeded
  grep -qF "user = \"SK00000000000000000000000000000001:$API_SECRET\"" "$CLOUD/curl-input"
  grep -q 'VoiceFallbackUrl=https://handler.twilio.com/twiml/EH1' "$CLOUD/calls"
  no_secret_anywhere
  unset TWILIO_API_KEY TWILIO_API_SECRET TWILIO_AUTH_TOKEN GEMINI_API_KEY
  : >"$CLOUD/curl-input"
  NUMBER_URL=https://callbot-123456789012.us-central1.run.app/twiml deploy --account-sid="$SID" --number=+14155550100
  succeeded
  grep -qF "user = \"$SID:$TOKEN\"" "$CLOUD/curl-input"
  no_secret_anywhere
}

@test "a number that somebody else answers is moved only with a yes" {
  with_secrets
  export NUMBER_URL=https://demo.twilio.com/welcome/voice/
  deploy --account-sid="$SID" --number=+14155550100
  refused_with "demo.twilio.com" "--yes"
  deploy --account-sid="$SID" --number=+14155550100 --yes
  succeeded
}

@test "Twilio refusing the addresses is said, and fails" {
  with_secrets
  CLOUD_WITHOUT=number-update deploy --account-sid="$SID" --number=+14155550100
  [[ $status == 1 && $output == *"Twilio did not take the addresses (HTTP 500)"* ]]
}

@test "an address other than the computed one is a warning with its remedy" {
  with_secrets
  CLOUD_WITHOUT=urls deploy
  succeeded
  [[ $output == *"--service-url=https://other-abc-uc.a.run.app"* ]]
}

@test "a service that does not answer, or lets strangers in, is a failure and gets no number" {
  with_secrets
  for word in ready refusal; do
    CLOUD_WITHOUT=$word deploy --account-sid="$SID" --number=+14155550100
    [[ $status == 1 && $output == *Warning:* ]] || { echo "$word: $status $output"; return 1; }
    [[ ! -e "$CLOUD/number" ]]
  done
}

@test "a failing build or deployment ends the run with the tool's code, and no number is moved" {
  with_secrets
  for word in build deploy; do
    CLOUD_WITHOUT=$word deploy --account-sid="$SID" --number=+14155550100
    [[ $status == 1 ]]
    [[ ! -e "$CLOUD/number" ]]
  done
}

@test "monitoring is made once: metrics, dashboard, alerts" {
  with_secrets
  deploy --monitoring
  succeeded
  metrics=$(find "$CHECKOUT/deploy/log-metrics" -name '*.yaml' | wc -l)
  [[ $(grep -c 'logging metrics create' "$CLOUD/calls") == "$metrics" ]]
  [[ -e "$CLOUD/dashboard" && -e "$CLOUD/policy" ]]
  : >"$CLOUD/calls"
  deploy --monitoring
  succeeded
  [[ $(grep -c 'logging metrics update' "$CLOUD/calls") == "$metrics" ]]
  absent -q -e 'dashboards create' -e 'policies create' -e 'metrics create' "$CLOUD/calls"
}

@test "alerts have a channel when one is named, made once and given to the policy that is there" {
  with_secrets
  deploy --monitoring
  [[ $output == *"alerts without --notify=MAIL wake nobody"* ]]
  deploy --monitoring --notify=me@example.com
  succeeded
  grep -q 'channels create .*email_address=me@example.com' "$CLOUD/calls"
  grep -q 'policies update policies/1 --add-notification-channels=projects/fake-project/notificationChannels/1' "$CLOUD/calls"
  rm "$CLOUD/policy"
  : >"$CLOUD/calls"
  deploy --monitoring --notify=me@example.com
  succeeded
  absent -q 'channels create' "$CLOUD/calls"
  grep -q 'policies create .*--notification-channels=projects/fake-project/notificationChannels/1' "$CLOUD/calls"
}

@test "destroy takes away what was made here, after a yes, and only that" {
  with_secrets
  mkdir -p "$CLOUD/secrets/somebody-elses"
  deploy --vertex --secret=GEMINI_API_KEY=callbot-gemini-api-key
  succeeded
  deploy --destroy
  [[ $status == 2 && $output == *"--yes"* ]]
  [[ -e "$CLOUD/services/callbot" ]]
  : >"$CLOUD/calls"
  deploy --destroy --dry-run
  succeeded
  [[ -z $(changes) ]]
  cp "$CLOUD/stdout" "$CLOUD/planned"
  deploy --destroy --yes
  succeeded
  diff -u "$CLOUD/planned" <(changes)
  [[ ! -e "$CLOUD/services/callbot" && ! -e "$CLOUD/repositories/callbot" && ! -e "$CLOUD/model-role" ]]
  [[ -z $(ls "$CLOUD/accounts") && $(ls "$CLOUD/secrets") == somebody-elses ]]
  deploy --destroy --yes
  succeeded
  [[ $output == *"nothing of callbot"* ]]
}

@test "destroy leaves a repository and an account that were not made here" {
  mkdir -p "$CLOUD/repositories" "$CLOUD/accounts" "$CLOUD/services"
  echo other >"$CLOUD/repositories/callbot"
  : >"$CLOUD/services/callbot"
  : >"$CLOUD/accounts/mine@fake-project.iam.gserviceaccount.com"
  deploy --destroy --yes --service-account=mine@fake-project.iam.gserviceaccount.com
  succeeded
  [[ $(changes | wc -l) == 1 && $(changes) == *"run services delete callbot"* ]]
}

@test "help names every option that is read, and needs nothing" {
  run env -i PATH="$PATH" CLOUD="$CLOUD" bash "$CHECKOUT/deploy.sh" --help
  succeeded
  sed -n '/^read_options/,/^}/p' "$CHECKOUT/deploy/lib/options.sh" | grep -oE '^ +--[^)]*\)' | grep -oE -- '--[a-z-]+' >"$CLOUD/options"
  [[ $(wc -l <"$CLOUD/options") -gt 30 ]]
  while read -r option; do
    [[ $output == *"$option"* ]] || { echo "not in the help: $option"; return 1; }
  done <"$CLOUD/options"
  [[ ! -s "$CLOUD/calls" ]]
}
