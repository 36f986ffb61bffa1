#!/usr/bin/env bats
# Everything that deploy.sh refuses: one clear line that says what mends it, exit code 2, and nothing changed.

load support

setup_file() { make_checkout; }
setup() { make_cloud; with_secrets; }

without_tool() { # TOOL: a PATH on which it is not
  local tool
  mkdir -p "$CLOUD/bin"
  for tool in bash env cat sed grep head mktemp rm dirname basename git tr cut; do
    ln -s "$(command -v "$tool")" "$CLOUD/bin/$tool"
  done
  for tool in gcloud curl; do
    [[ $tool == "$1" ]] || ln -s "$BATS_TEST_DIRNAME/fakes/$tool" "$CLOUD/bin/$tool"
  done
}

@test "gcloud is missing" {
  without_tool gcloud
  PATH="$CLOUD/bin" deploy
  refused_with "gcloud is not installed" "install the Google Cloud CLI"
}

@test "curl is missing" {
  without_tool curl
  PATH="$CLOUD/bin" deploy
  refused_with "curl is not installed" "package manager"
}

@test "nobody is logged in" {
  CLOUD_WITHOUT=login deploy
  refused_with "nobody is logged in" "gcloud auth login"
}

@test "no project is chosen" {
  CLOUD_WITHOUT=config run "$CHECKOUT/deploy.sh"
  refused_with "no project is chosen" "--project=ID"
}

@test "the project is not there" {
  CLOUD_WITHOUT=project deploy
  refused_with "fake-project is not there for deployer@example.com" "gcloud projects list"
}

@test "an API is not enabled: one line each" {
  CLOUD_WITHOUT="api:run.googleapis.com" deploy
  refused_with "run.googleapis.com is not enabled" "gcloud services enable run.googleapis.com --project=fake-project"
  CLOUD_WITHOUT="api:secretmanager.googleapis.com api:cloudbuild.googleapis.com" deploy
  [[ $status == 2 && $(grep -c 'is not enabled' <<<"$output") == 2 ]]
}

@test "APIs are asked for only where they are used" {
  CLOUD_WITHOUT="api:aiplatform.googleapis.com api:compute.googleapis.com api:monitoring.googleapis.com" deploy --dry-run
  succeeded
  CLOUD_WITHOUT="api:aiplatform.googleapis.com" deploy --vertex
  refused_with "aiplatform.googleapis.com is not enabled"
  CLOUD_WITHOUT="api:compute.googleapis.com" deploy --network=default --subnet=callbot
  refused_with "compute.googleapis.com is not enabled"
  CLOUD_WITHOUT="api:monitoring.googleapis.com" deploy --monitoring
  refused_with "monitoring.googleapis.com is not enabled"
}

@test "a secret has no value anywhere" {
  unset GEMINI_API_KEY
  deploy
  refused_with "the secret callbot-gemini-api-key has no value" "read -rs GEMINI_API_KEY && export GEMINI_API_KEY"
  deploy --redis-url-secret=my-redis
  [[ $status == 2 && $output == *"the secret my-redis has no value"* ]]
}

@test "a secret's newest version is disabled" {
  deploy
  : >"$CLOUD/calls"
  unset GEMINI_API_KEY TWILIO_AUTH_TOKEN
  mkdir "$CLOUD/aside" && mv "$CLOUD/secrets/callbot-gemini-api-key" "$CLOUD/aside"
  export GEMINI_API_KEY=$KEY
  CLOUD_WITHOUT=enabled deploy
  refused_with "callbot-twilio-auth-token is not enabled" "gcloud secrets versions enable 1 --secret=callbot-twilio-auth-token"
}

@test "a secret that is no secret" {
  TWILIO_AUTH_TOKEN="two words" deploy
  refused_with "TWILIO_AUTH_TOKEN does not look like one"
  [[ $output != *"two words"* ]]
  TWILIO_AUTH_TOKEN=short deploy
  refused_with "TWILIO_AUTH_TOKEN does not look like one"
}

@test "a role is missing: one line, with the command that gives it" {
  CLOUD_DENIED=run.services.create deploy
  refused_with "deployer@example.com may not run.services.create" \
    "gcloud projects add-iam-policy-binding fake-project --member=user:deployer@example.com --role=roles/run.admin"
  CLOUD_DENIED="run.services.create run.services.update run.services.setIamPolicy" deploy
  refused_with "roles/run.admin"
  CLOUD_DENIED=secretmanager.secrets.create deploy
  refused_with "roles/secretmanager.admin"
  CLOUD_DENIED=iam.serviceAccounts.create deploy
  refused_with "roles/iam.serviceAccountAdmin"
  CLOUD_DENIED=iam.serviceAccounts.actAs deploy
  refused_with "roles/iam.serviceAccountUser"
  CLOUD_DENIED=cloudbuild.builds.create deploy
  refused_with "roles/cloudbuild.builds.editor"
  CLOUD_DENIED=artifactregistry.repositories.create deploy
  refused_with "roles/artifactregistry.admin"
  CLOUD_DENIED=resourcemanager.projects.setIamPolicy deploy --vertex
  refused_with "roles/resourcemanager.projectIamAdmin"
  CLOUD_DENIED=monitoring.dashboards.create deploy --monitoring
  refused_with "roles/monitoring.editor"
}

@test "only the roles for what is still to be made are asked for" {
  deploy
  : >"$CLOUD/calls"
  CLOUD_DENIED="iam.serviceAccounts.create secretmanager.secrets.create secretmanager.versions.add \
    secretmanager.secrets.setIamPolicy cloudbuild.builds.create artifactregistry.repositories.create" deploy
  succeeded
  : >"$CLOUD/calls"
  CLOUD_DENIED=iam.serviceAccounts.actAs deploy
  refused_with "roles/iam.serviceAccountUser"
}

@test "roles that cannot be asked about are a note, not a refusal" {
  CLOUD_WITHOUT=iam deploy --dry-run
  succeeded
  [[ $output == *"could not be asked"* ]]
}

@test "what cannot be looked at is not taken for absent" {
  mkdir -p "$CLOUD/accounts"
  : >"$CLOUD/accounts/callbot-run@fake-project.iam.gserviceaccount.com"
  CLOUD_WITHOUT=policy-read deploy --vertex
  refused_with "the roles in fake-project cannot be looked at" "PERMISSION_DENIED"
}

@test "a service account that is named must be there" {
  deploy --service-account=absent@fake-project.iam.gserviceaccount.com
  refused_with "there is no service account absent@"
}

@test "a repository of another kind" {
  mkdir -p "$CLOUD/repositories" && : >"$CLOUD/repositories/callbot"
  CLOUD_WITHOUT=docker deploy
  refused_with "the repository callbot is for PYTHON" "--repository"
}

@test "there is no subnet" {
  CLOUD_WITHOUT=subnet deploy --network=default --subnet=callbot
  refused_with "there is no subnet callbot" "gcloud compute networks subnets create callbot"
}

@test "Twilio: a trial account, a wrong token, no such account, no such number, no network" {
  local options=(--account-sid="$SID" --number=+14155550100)
  CLOUD_WITHOUT=trial deploy "${options[@]}"
  refused_with "trial account" "upgrade"
  CLOUD_WITHOUT=twilio-auth deploy "${options[@]}"
  refused_with "Twilio refuses the auth token"
  CLOUD_WITHOUT=twilio-account deploy "${options[@]}"
  refused_with "Twilio has no account $SID"
  CLOUD_WITHOUT=twilio-list deploy "${options[@]}"
  refused_with "refuses to list the numbers"
  CLOUD_WITHOUT=number deploy "${options[@]}"
  refused_with "the account has no number +14155550100"
  NUMBER_IS=+141555501001 deploy "${options[@]}"
  refused_with "the account has no number +14155550100"
  CLOUD_WITHOUT=network deploy "${options[@]}"
  refused_with "Twilio cannot be asked"
}

@test "the number's token cannot be read" {
  deploy
  : >"$CLOUD/calls"
  unset TWILIO_AUTH_TOKEN GEMINI_API_KEY
  CLOUD_WITHOUT=access deploy --account-sid="$SID" --number=+14155550100
  refused_with "the secret callbot-twilio-auth-token cannot be read" "TWILIO_API_KEY"
}

@test "values that are not of the right form" {
  while IFS='|' read -r option text; do
    deploy "$option"
    refused_with "$text" || { echo "$option"; return 1; }
  done <<'CASES'
--region=Europe|--region is not of the right form
--service=UPPER|--service is not of the right form
--service=a-name-that-is-much-too-long|--service is not of the right form
--concurrency=0|--concurrency is not of the right form
--concurrency=1001|--concurrency is not of the right form
--timeout=3601|longer than Cloud Run allows
--memory=2GB|--memory is not of the right form
--cpu=3|--cpu is not of the right form
--calls-per-instance=0|--calls-per-instance is not of the right form
--calls-per-instance=321|--calls-per-instance is not of the right form
--calls-per-instance=41|needs several workers, and they need Redis
--notify=me@example.com|--notify is for the alerts
--min-instances=21|--min-instances is over --max-instances
--max-calls=2|over --concurrency=1
--max-calls=none|--max-calls is not of the right form
--image=callbot:latest|--image is not of the right form
--number=4155550100|--number is not of the right form
--account-sid=AC123|--account-sid is not of the right form
--service-url=http://bot.example|--service-url is not of the right form
--fallback-url=http://x|--fallback-url is not of the right form
--service-account=me|--service-account is not of the right form
--number=+14155550100|--number needs the account
--subnet=a|--subnet needs its network
--network=a|--network needs a subnet
--env=lower=x|--env is not of the right form
--env=PORT=1|PORT cannot be set
--env=CALLBOT_INSECURE=1|CALLBOT_INSECURE cannot be set
--secret=A|--secret is not of the right form
--prompt-file=/no/such/file|there is no file
--colour=red|--colour is no option
--region=|--region needs a value
--region|--region needs a value
--verbose|--verbose needs a value
deploy|deploy is no option
CASES
}

@test "a global location has no Live models" {
  deploy --vertex --location=global
  refused_with "--location=global" "us-central1"
}

@test "secrets on the command line are refused and not repeated" {
  for name in GEMINI_API_KEY TWILIO_AUTH_TOKEN REDIS_URL MY_SECRET DB_PASSWORD; do
    deploy --env="$name=$KEY"
    refused_with "$name is a secret" "--secret=$name="
    no_secret_anywhere
  done
  deploy "--gemini-api-key=$KEY"
  refused_with "--gemini-api-key is no option"
  no_secret_anywhere
  deploy "GEMINI_API_KEY=$KEY"
  refused_with "GEMINI_API_KEY is no option"
  no_secret_anywhere
}

@test "a trace shows no secret" {
  run bash -x "$CHECKOUT/deploy.sh" --project=fake-project --dry-run
  succeeded
  no_secret_anywhere
}

@test "no command that is started inherits a secret" {
  cat >"$CLOUD/gcloud-spy" <<'SPY'
#!/usr/bin/env bash
env >>"$CLOUD/environments"
exec "$FAKES/gcloud" "$@"
SPY
  mkdir "$CLOUD/bin" && mv "$CLOUD/gcloud-spy" "$CLOUD/bin/gcloud" && chmod +x "$CLOUD/bin/gcloud"
  export TWILIO_API_KEY=SK1 TWILIO_API_SECRET=$API_SECRET
  FAKES="$BATS_TEST_DIRNAME/fakes" PATH="$CLOUD/bin:$PATH" deploy
  succeeded
  [[ -s "$CLOUD/environments" ]]
  absent -qF -e "$TOKEN" -e "$KEY" -e "$API_SECRET" "$CLOUD/environments"
}
