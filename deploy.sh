#!/usr/bin/env bash
# Brings callbot to Cloud Run: checks first, changes afterwards, and may be run again at any time. `./deploy.sh --help`.
set -euo pipefail
{ set +x; } 2>/dev/null # a trace would show secrets

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
  echo "deploy.sh: bash ${BASH_VERSION} is too old; install 4.4 or newer (macOS: brew install bash), or use Cloud Shell" >&2
  exit 2
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly ROOT
# shellcheck source=deploy/lib/talk.sh
source "$ROOT/deploy/lib/talk.sh"
# shellcheck source=deploy/lib/options.sh
source "$ROOT/deploy/lib/options.sh"
# shellcheck source=deploy/lib/preflight.sh
source "$ROOT/deploy/lib/preflight.sh"
# shellcheck source=deploy/lib/steps.sh
source "$ROOT/deploy/lib/steps.sh"
# shellcheck source=deploy/lib/twilio.sh
source "$ROOT/deploy/lib/twilio.sh"
# shellcheck source=deploy/lib/extras.sh
source "$ROOT/deploy/lib/extras.sh"

# What callbot is made for on Cloud Run. A DEPLOY_ variable takes the place of each, and before it an option.
readonly CLOUD_RUN=(--min-instances=1 --timeout=3600 --memory=2Gi --cpu=2 --session-affinity --concurrency=1 --no-cpu-throttling)

usage() {
  cat <<'HELP'
Usage: ./deploy.sh --project=PROJECT [options]

Builds callbot's image, deploys it to Cloud Run and, if asked, points a Twilio number at it. Everything is checked before
anything is changed. Each option with a value can also be given as a variable: --max-calls as DEPLOY_MAX_CALLS, and so on.
GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_LOCATION, GOOGLE_GENAI_USE_VERTEXAI, GOOGLE_GENAI_MODEL and TWILIO_ACCOUNT_SID are read too.

Where
  --project=ID              default: the project of gcloud's configuration
  --region=REGION           us-central1
  --service=NAME            callbot
  --service-url=URL         a domain of your own; default: the address that Cloud Run will give
  --service-account=EMAIL   default: one of its own, SERVICE-run, made when it is not there
  --repository=NAME         in Artifact Registry; default: the service's name
  --image=NAME@sha256:...   deploy this image, build nothing
  --rebuild                 build although this commit has been built (for a newer base image)

Cloud Run
  --calls-per-instance=N    1: sets --concurrency, --max-calls, --cpu and --memory for so many calls on an instance, up to 320, from
                            the measurement in docs/performance.md. Over 40 it takes several workers, and they need Redis
  --concurrency=N           1: requests that an instance takes at once. A call is one request for as long as it lasts, and
                            its webhooks are others: a quarter more than the calls
  --max-calls=N             calls that an instance admits; default: four fifths of --concurrency
  --min-instances=N         1: kept warm, and paid for
  --max-instances=N         20: Cloud Run starts them by load; with one call on each that many calls at once
  --timeout=SECONDS         3600, Cloud Run's longest; no stream lasts longer
  --memory=SIZE, --cpu=N    2Gi and 2
  --no-session-affinity     default: --session-affinity       (DEPLOY_SESSION_AFFINITY=no)
  --cpu-throttling          default: --no-cpu-throttling      (DEPLOY_CPU_THROTTLING=yes)
  --no-invoker-iam-check    instead of --allow-unauthenticated, where a policy forbids allUsers
  --env=NAME=VALUE          a setting of callbot's; may be repeated. Not for secrets
  --secret=NAME=SECRET      a setting from Secret Manager; may be repeated
  --prompt-file=FILE        becomes CALLBOT_PROMPT

The model
  default                   the Gemini API, its key from Secret Manager
  --vertex                  Vertex AI with the service account: no key
  --location=LOCATION       of Vertex; default: the region
  --model=NAME

Secrets: kept in Secret Manager. One that is not there is made from the variable of the environment.
  --twilio-token-secret=NAME   default: SERVICE-twilio-auth-token, from TWILIO_AUTH_TOKEN
  --gemini-key-secret=NAME     default: SERVICE-gemini-api-key, from GEMINI_API_KEY
  --redis-url-secret=NAME      REDIS_URL for the shared store, from REDIS_URL
  --network=NAME --subnet=NAME the private network in which Redis is
  --rotate-secrets             add a version for each of these variables that is set

Twilio
  --account-sid=AC...       streams of other accounts are refused then
  --number=+1...            point this number at the service. Uses TWILIO_API_KEY and TWILIO_API_SECRET when they are set, else
                            the auth token
  --fallback-url=URL        what Twilio asks when the service does not answer; default: /twiml once more

Running
  --dry-run                 check everything, change nothing, print the commands that would run, in order
  --monitoring              make the metrics, the dashboard and the alerts of deploy/ as well
  --notify=MAIL             where the alerts go; with --monitoring
  --destroy                 remove the service and what this script made for it
  --yes                     do not ask
  --help

Exit codes: 0 done, 2 something is missing or wrong (the line says what mends it), else that of the command that failed.
HELP
}

main() {
  read_options "${CLOUD_RUN[@]}"
  read_variables
  read_options "$@"
  check_options
  take_secret_values
  check_tools
  check_project
  if [[ $DESTROY == yes ]]; then
    destroy
    return
  fi
  check_apis
  look_around
  check_twilio
  check_roles
  check_settings
  warn_about_choices

  make_service_account
  make_secrets
  make_image
  deploy_service
  if [[ $DRY_RUN == no ]]; then
    check_address
    check_answers
  fi
  [[ -z $NUMBER ]] || point_number
  [[ $MONITORING == no ]] || make_monitoring
  [[ $DRY_RUN == yes ]] || summarise
}

main "$@"
