# shellcheck shell=bash
# The options: defaults, reading, and what can be said about them without asking anybody. Sourced by deploy.sh.

# Options with a value, each with a variable of its own.
VALUED=(project region service service-url service-account repository image calls-per-instance concurrency max-calls min-instances
  max-instances timeout memory cpu prompt-file location model twilio-token-secret gemini-key-secret redis-url-secret network subnet
  account-sid number fallback-url notify)

PROJECT='' REGION=us-central1 SERVICE=callbot SERVICE_URL='' SERVICE_ACCOUNT='' REPOSITORY='' IMAGE='' REBUILD=no
CALLS_PER_INSTANCE='' CONCURRENCY='' MAX_CALLS='' MIN_INSTANCES='' MAX_INSTANCES=20 TIMEOUT='' MEMORY='' CPU='' AFFINITY='' THROTTLING=''
ACCESS=--allow-unauthenticated EXTRA_ENV=() EXTRA_SECRETS=() PROMPT_FILE=''
VERTEX=no LOCATION='' MODEL=''
TWILIO_TOKEN_SECRET='' GEMINI_KEY_SECRET='' REDIS_URL_SECRET='' NETWORK='' SUBNET='' ROTATE=no
ACCOUNT_SID='' NUMBER='' FALLBACK_URL=''
DRY_RUN=no MONITORING=no NOTIFY='' DESTROY=no YES=no

read_variables() {
  local name variable
  PROJECT=${GOOGLE_CLOUD_PROJECT:-} LOCATION=${GOOGLE_CLOUD_LOCATION:-} MODEL=${GOOGLE_GENAI_MODEL:-}
  ACCOUNT_SID=${TWILIO_ACCOUNT_SID:-}
  [[ ! ${GOOGLE_GENAI_USE_VERTEXAI:-} =~ ^(1|[Tt]rue|TRUE)$ ]] || VERTEX=yes
  [[ ${DEPLOY_SESSION_AFFINITY:-} != no ]] || read_options --no-session-affinity
  [[ ${DEPLOY_CPU_THROTTLING:-} != yes ]] || read_options --cpu-throttling
  for name in "${VALUED[@]}"; do
    variable=${name//-/_}
    variable=DEPLOY_${variable^^}
    [[ -z ${!variable:-} ]] || read_options "--$name=${!variable}"
  done
}

read_options() {
  local option value
  while (($#)); do
    option=$1
    shift
    case $option in
      --help | -h) usage; exit 0 ;;
      --dry-run) DRY_RUN=yes; continue ;;
      --yes | -y) YES=yes; continue ;;
      --destroy) DESTROY=yes; continue ;;
      --monitoring) MONITORING=yes; continue ;;
      --rebuild) REBUILD=yes; continue ;;
      --rotate-secrets) ROTATE=yes; continue ;;
      --vertex) VERTEX=yes; continue ;;
      --session-affinity | --no-session-affinity) AFFINITY=$option; continue ;;
      --cpu-throttling | --no-cpu-throttling) THROTTLING=$option; continue ;;
      --allow-unauthenticated | --no-invoker-iam-check) ACCESS=$option; continue ;;
      --*=*) value=${option#*=} option=${option%%=*} ;;
      --*)
        (($#)) || refuse "$option" "needs a value"
        value=$1
        shift
        ;;
      *) refuse "$option" "is no option" ;;
    esac
    [[ -n $value ]] || refuse "$option" "needs a value"
    case $option in
      --project) PROJECT=$value ;;
      --region) REGION=$value ;;
      --service) SERVICE=$value ;;
      --service-url) SERVICE_URL=$value ;;
      --service-account) SERVICE_ACCOUNT=$value ;;
      --repository) REPOSITORY=$value ;;
      --image) IMAGE=$value ;;
      --calls-per-instance) calls_per_instance "$value" ;;
      --concurrency) CONCURRENCY=$value ;;
      --max-calls) MAX_CALLS=$value ;;
      --min-instances) MIN_INSTANCES=$value ;;
      --max-instances) MAX_INSTANCES=$value ;;
      --timeout) TIMEOUT=$value ;;
      --memory) MEMORY=$value ;;
      --cpu) CPU=$value ;;
      --env) EXTRA_ENV+=("$value") ;;
      --secret) EXTRA_SECRETS+=("$value") ;;
      --prompt-file) PROMPT_FILE=$value ;;
      --location) LOCATION=$value ;;
      --model) MODEL=$value ;;
      --twilio-token-secret) TWILIO_TOKEN_SECRET=$value ;;
      --gemini-key-secret) GEMINI_KEY_SECRET=$value ;;
      --redis-url-secret) REDIS_URL_SECRET=$value ;;
      --network) NETWORK=$value ;;
      --subnet) SUBNET=$value ;;
      --account-sid) ACCOUNT_SID=$value ;;
      --number) NUMBER=$value ;;
      --fallback-url) FALLBACK_URL=$value ;;
      --notify) NOTIFY=$value ;;
      *) refuse "$option" "is no option" ;;
    esac
  done
}

# One number for four settings, from the measurement in docs/performance.md: a core carries 44 calls, 40 with room to spare, at
# 0.3 MB each. A process has one core, so over 40 calls there are as many workers as CPUs. Cloud Run wants 2 GiB for 4 CPUs
# and 4 GiB for 6 and more. A fourth of the places more is for webhooks and callbacks.
calls_per_instance() {
  local calls=$1 each
  CALLS_PER_INSTANCE=$calls
  [[ $calls =~ ^[1-9][0-9]{0,2}$ ]] && ((calls <= 320)) || return 0 # check_options says so
  MAX_CALLS=$calls CONCURRENCY=$((calls == 1 ? 1 : calls + (calls + 3) / 4)) CPU=8 MEMORY=4Gi
  for each in 6:4Gi 4:2Gi 2:1Gi 1:512Mi; do
    ((calls > 40 * ${each%:*})) || CPU=${each%:*} MEMORY=${each#*:}
  done
}

# Only what comes before an equals sign is repeated: somebody may have put a secret behind it.
refuse() { # OPTION WHY
  say "deploy.sh: ${1%%=*} $2; see ./deploy.sh --help"
  exit 2
}

must_match() { # OPTION VALUE PATTERN EXAMPLE
  [[ $2 =~ ^($3)$ ]] || missing "$1 is not of the right form" "write it like $1=$4"
}

check_options() {
  must_match --region "$REGION" '[a-z]+-[a-z]+[0-9]+' us-central1
  # 26 characters, because a service account's name has 30 at most and ends with -run here.
  must_match --service "$SERVICE" '[a-z]([-a-z0-9]{0,24}[a-z0-9])?' callbot
  [[ -z $CALLS_PER_INSTANCE ]] || must_match --calls-per-instance "$CALLS_PER_INSTANCE" '[1-9][0-9]?|[12][0-9][0-9]|3[01][0-9]|320' 40
  [[ -z $NOTIFY ]] || must_match --notify "$NOTIFY" '[^@ ,=]+@[^@ ,=]+\.[^@ ,=]+' me@example.com
  must_match --concurrency "$CONCURRENCY" '[1-9][0-9]{0,2}|1000' 1
  must_match --min-instances "$MIN_INSTANCES" '[0-9]{1,3}' 1
  must_match --max-instances "$MAX_INSTANCES" '[1-9][0-9]{0,2}' 1
  must_match --timeout "$TIMEOUT" '[1-9][0-9]{0,3}' 3600
  must_match --memory "$MEMORY" '[1-9][0-9]*(Mi|Gi|M|G)' 2Gi
  must_match --cpu "$CPU" '1|2|4|6|8' 2
  [[ -z $MAX_CALLS ]] || must_match --max-calls "$MAX_CALLS" '[1-9][0-9]{0,2}' 30
  [[ -z $SERVICE_URL ]] || must_match --service-url "$SERVICE_URL" 'https://[a-z0-9.-]+(,https://[a-z0-9.-]+)*' https://bot.example
  [[ -z $SERVICE_ACCOUNT ]] || must_match --service-account "$SERVICE_ACCOUNT" '[^@ ]+@[^@ ]+' \
    callbot-run@my-project.iam.gserviceaccount.com
  [[ -z $IMAGE ]] || must_match --image "$IMAGE" '[^@ ]+@sha256:[0-9a-f]{64}' NAME@sha256:DIGEST
  [[ -z $ACCOUNT_SID ]] || must_match --account-sid "$ACCOUNT_SID" 'AC[0-9a-f]{32}' ACxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
  [[ -z $NUMBER ]] || must_match --number "$NUMBER" '\+[1-9][0-9]{6,14}' +14155550100
  [[ -z $FALLBACK_URL ]] || must_match --fallback-url "$FALLBACK_URL" 'https://[^ ]+' https://handler.twilio.com/twiml/EH...
  stop_if_missing
  check_together
  REPOSITORY=${REPOSITORY:-$SERVICE}
  LOCATION=${LOCATION:-$REGION}
  TWILIO_TOKEN_SECRET=${TWILIO_TOKEN_SECRET:-$SERVICE-twilio-auth-token}
  GEMINI_KEY_SECRET=${GEMINI_KEY_SECRET:-$SERVICE-gemini-api-key}
  # A fifth of the places stays free for webhooks and callbacks: without one of them a full instance could not even say so.
  MAX_CALLS=${MAX_CALLS:-$((CONCURRENCY > 1 ? CONCURRENCY - (CONCURRENCY + 4) / 5 : 1))}
}

# What is wrong only together with something else.
check_together() {
  local pair name
  ((TIMEOUT <= 3600)) || missing "--timeout=$TIMEOUT is longer than Cloud Run allows" "use --timeout=3600 or less"
  ((MIN_INSTANCES <= MAX_INSTANCES)) || missing "--min-instances is over --max-instances" "raise --max-instances to $MIN_INSTANCES"
  [[ -z $MAX_CALLS ]] || ((MAX_CALLS <= CONCURRENCY)) ||
    missing "--max-calls=$MAX_CALLS is over --concurrency=$CONCURRENCY" "an instance cannot be given more calls than requests"
  [[ -z $CALLS_PER_INSTANCE || -n $REDIS_URL_SECRET ]] || ((CALLS_PER_INSTANCE <= 40)) ||
    missing "--calls-per-instance=$CALLS_PER_INSTANCE needs several workers, and they need Redis" \
      "add --redis-url-secret=NAME, or use 40 or less and more instances"
  [[ -z $NOTIFY || $MONITORING == yes ]] || missing "--notify is for the alerts" "add --monitoring"
  [[ -n $NETWORK ]] || [[ -z $SUBNET ]] || missing "--subnet needs its network" "add --network=NAME"
  [[ -n $SUBNET ]] || [[ -z $NETWORK ]] || missing "--network needs a subnet" "add --subnet=NAME"
  [[ -z $NUMBER ]] || [[ -n $ACCOUNT_SID ]] || missing "--number needs the account" "set TWILIO_ACCOUNT_SID or --account-sid"
  [[ $VERTEX == no ]] || [[ $LOCATION != global ]] ||
    missing "--location=global has no Live models" "choose a region, such as us-central1"
  for pair in ${EXTRA_ENV[@]+"${EXTRA_ENV[@]}"}; do
    name=${pair%%=*}
    if [[ ! $pair =~ ^[A-Z][A-Z0-9_]*= ]]; then
      missing "--env is not of the right form" "write it like --env=CALLBOT_VOICE=Puck"
    elif [[ $name =~ (TOKEN$|KEY$|SECRET|PASSWORD|^REDIS_URL$) ]]; then
      missing "$name is a secret" "keep it in Secret Manager and name it: --secret=$name=NAME_OF_THE_SECRET"
    elif [[ $name =~ ^(PORT|K_.*|SERVICE_URL|CALLBOT_INSECURE)$ ]]; then
      missing "$name cannot be set with --env" "Cloud Run or an option of this script sets it, or it must not be set there"
    fi
  done
  for pair in ${EXTRA_SECRETS[@]+"${EXTRA_SECRETS[@]}"}; do
    [[ $pair =~ ^[A-Z][A-Z0-9_]*=[a-zA-Z0-9_-]{1,255}$ ]] ||
      missing "--secret is not of the right form" "write it like --secret=CALLBOT_METRICS_TOKEN=callbot-metrics-token"
  done
  [[ -z $PROMPT_FILE ]] || [[ -r $PROMPT_FILE ]] || missing "there is no file $PROMPT_FILE" "give --prompt-file one that can be read"
  stop_if_missing
}

# The secrets of this deployment: SECRET_ENV[i] is the variable, SECRET_NAME[i] its name in Secret Manager, SECRET_VALUE[i]
# what the environment gave, if anything. They leave the environment here, so that no command started later inherits them.
take_secret_values() {
  local pair i
  SECRET_ENV=(TWILIO_AUTH_TOKEN) SECRET_NAME=("$TWILIO_TOKEN_SECRET")
  [[ $VERTEX == yes ]] || { SECRET_ENV+=(GEMINI_API_KEY) SECRET_NAME+=("$GEMINI_KEY_SECRET"); }
  [[ -z $REDIS_URL_SECRET ]] || { SECRET_ENV+=(REDIS_URL) SECRET_NAME+=("$REDIS_URL_SECRET"); }
  for pair in ${EXTRA_SECRETS[@]+"${EXTRA_SECRETS[@]}"}; do
    SECRET_ENV+=("${pair%%=*}") SECRET_NAME+=("${pair#*=}")
  done
  SECRET_VALUE=()
  for i in "${!SECRET_ENV[@]}"; do
    SECRET_VALUE[i]=${!SECRET_ENV[i]:-}
    if [[ -n ${SECRET_VALUE[i]} && ! ${SECRET_VALUE[i]} =~ ^[[:graph:]]{8,}$ ]]; then
      missing "${SECRET_ENV[i]} does not look like one" "copy it again, without blanks and without quotes"
    fi
    unset "${SECRET_ENV[i]}"
  done
  TWILIO_USER=${TWILIO_API_KEY:-} TWILIO_PASSWORD=${TWILIO_API_SECRET:-}
  unset TWILIO_AUTH_TOKEN GEMINI_API_KEY GOOGLE_API_KEY REDIS_URL TWILIO_API_SECRET
  stop_if_missing
}
