# shellcheck shell=bash
# The steps, in order: service account, secrets, image, service; then what came of it. Each makes only what is not there.
# Sourced by deploy.sh.

make_service_account() {
  MADE_HERE="callbot-service=$SERVICE"
  if [[ $HAS_ACCOUNT == no ]]; then
    say "Making the service account $SERVICE_ACCOUNT"
    change gcloud iam service-accounts create "${SERVICE_ACCOUNT%%@*}" --display-name="callbot ($SERVICE)" --project="$PROJECT"
  fi
  if [[ $VERTEX == yes && $HAS_MODEL_ROLE == no ]]; then
    change_patiently gcloud projects add-iam-policy-binding "$PROJECT" --member="serviceAccount:$SERVICE_ACCOUNT" \
      --role=roles/aiplatform.user --condition=None --format=none
  fi
}

# Each secret is there, has a version, and the service's account may read it: its only right besides the model.
make_secrets() {
  local i name made
  SECRET_FLAGS=
  for i in "${!SECRET_ENV[@]}"; do
    name=${SECRET_NAME[i]}
    if [[ ${SECRET_EXISTS[i]} == no ]]; then
      say "Making the secret $name"
      change gcloud secrets create "$name" --replication-policy=automatic --labels="$MADE_HERE" --project="$PROJECT"
    fi
    if adds_version "$i"; then
      made=$(change_with_input "${SECRET_VALUE[i]}" gcloud secrets versions add "$name" --data-file=- --project="$PROJECT" \
        --format='value(name.basename())')
      if [[ $DRY_RUN == yes ]]; then
        printf '%s\n' "$made"
        made=$((${SECRET_VERSION[i]:-0} + 1)) # versions are numbered one by one
      fi
      SECRET_VERSION[i]=$made
    fi
    if [[ ${SECRET_BOUND[i]} == no ]]; then
      change_patiently gcloud secrets add-iam-policy-binding "$name" --member="serviceAccount:$SERVICE_ACCOUNT" \
        --role=roles/secretmanager.secretAccessor --condition=None --project="$PROJECT" --format=none
    fi
    # A version by its number: an instance that starts tonight reads what was tested today.
    SECRET_FLAGS+="${SECRET_FLAGS:+,}${SECRET_ENV[i]}=$name:${SECRET_VERSION[i]}"
  done
}

# Built once, deployed by digest: a tag can be moved, a digest cannot.
make_image() {
  local digest='sha256:DIGEST_OF_THE_BUILD'
  if [[ -n $IMAGE ]]; then
    say "The image is there: $IMAGE"
    return
  fi
  if [[ $HAS_REPOSITORY == no ]]; then
    say "Making the repository $REPOSITORY"
    change gcloud artifacts repositories create "$REPOSITORY" --repository-format=docker --location="$REGION" \
      --labels="$MADE_HERE" --project="$PROJECT"
  fi
  say "Building $IMAGE_NAME:$TAG"
  change gcloud builds submit "$ROOT" --tag="$IMAGE_NAME:$TAG" --project="$PROJECT"
  if [[ $DRY_RUN == no ]]; then
    digest=$(gcloud artifacts docker images describe "$IMAGE_NAME:$TAG" --project="$PROJECT" --format='value(image_summary.digest)')
  fi
  IMAGE="$IMAGE_NAME@$digest"
}

deploy_service() {
  local flags=(
    --image="$IMAGE" --region="$REGION" --project="$PROJECT" --service-account="$SERVICE_ACCOUNT"
    --min-instances="$MIN_INSTANCES" --max-instances="$MAX_INSTANCES" --concurrency="$CONCURRENCY" --timeout="$TIMEOUT"
    --memory="$MEMORY" --cpu="$CPU" "$AFFINITY" "$THROTTLING" --cpu-boost --execution-environment=gen2
    # Twilio cannot present Google's tokens: the app's own check of signatures is the gate.
    "$ACCESS" --ingress=all
    # HTTP/2 to the container would end WebSockets.
    --no-use-http2 --port=8080
    # Ready decides when an instance gets traffic; alive asks the event loop only, and patiently: failing ends calls.
    "--startup-probe=httpGet.path=/readyz,httpGet.port=8080,periodSeconds=1,timeoutSeconds=1,failureThreshold=60"
    "--liveness-probe=httpGet.path=/healthz,httpGet.port=8080,periodSeconds=10,timeoutSeconds=5,failureThreshold=6"
    --set-secrets="$SECRET_FLAGS" --labels="callbot-service=$SERVICE"
  )
  # Values may have commas in them (a prompt, a list), so something that no value has separates them.
  flags+=(--set-env-vars="^|~|^$(settings_of_service)")
  [[ -z $NETWORK ]] || flags+=(--network="$NETWORK" --subnet="$SUBNET" --vpc-egress=private-ranges-only)
  say "Deploying $SERVICE to $REGION"
  change gcloud run deploy "$SERVICE" "${flags[@]}" --quiet
}

# The project is set with an API key too: log lines name the trace of their request by it.
settings_of_service() {
  local line
  read_settings
  printf -v line '%s|~|' "${SETTINGS[@]}"
  printf '%s' "${line%"|~|"}"
}

# Sets SETTINGS, the service's own settings without its secrets.
read_settings() {
  local settings=("SERVICE_URL=$PUBLIC_URLS" LOG_FORMAT=json "CALLBOT_MAX_CALLS=$MAX_CALLS" "GOOGLE_CLOUD_PROJECT=$PROJECT")
  [[ -z $CALLS_PER_INSTANCE ]] || ((CALLS_PER_INSTANCE <= 40)) || settings+=(CALLBOT_WORKERS=auto)
  [[ -z $ACCOUNT_SID ]] || settings+=("TWILIO_ACCOUNT_SID=$ACCOUNT_SID")
  [[ $VERTEX == no ]] ||
    settings+=(GOOGLE_GENAI_USE_VERTEXAI=1 "GOOGLE_CLOUD_LOCATION=$LOCATION")
  [[ -z $MODEL ]] || settings+=("GOOGLE_GENAI_MODEL=$MODEL")
  [[ -z $PROMPT_FILE ]] || settings+=("CALLBOT_PROMPT=$(<"$PROMPT_FILE")")
  settings+=(${EXTRA_ENV[@]+"${EXTRA_ENV[@]}"})
  SETTINGS=("${settings[@]}")
}

# Signatures are made from SERVICE_URL, so the address must be one that leads here.
check_address() {
  local addresses
  addresses=$(gcloud run services describe "$SERVICE" --region="$REGION" --project="$PROJECT" \
    --format='value(status.url,metadata.annotations["run.googleapis.com/urls"])')
  if [[ -z $SERVICE_URL && $addresses != *"$EXPECTED_URL"* ]]; then
    say "Warning: Cloud Run gave other addresses than $EXPECTED_URL: $addresses"
    say "  Twilio's signatures will not match. Run this again with --service-url=${addresses%%[[:space:]]*}"
  fi
}

# /readyz from outside (Google keeps /healthz of public addresses to itself), and that a stranger is turned away by the app.
check_answers() {
  local try ready='' refused
  for try in 1 2 3 4 5; do
    ready=$(curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "$PUBLIC_URL/readyz") || ready=nothing
    [[ $ready != 200 ]] || break
    [[ $try == 5 ]] || sleep 2
  done
  refused=$(curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' --request POST "$PUBLIC_URL/twiml") || refused=nothing
  if [[ $ready != 200 ]]; then
    say "Warning: $PUBLIC_URL/readyz answered $ready. Look at: gcloud run services logs read $SERVICE --region=$REGION --project=$PROJECT"
    return 1
  fi
  if [[ $refused != 403 ]]; then
    say "Warning: $PUBLIC_URL/twiml answered $refused to an unsigned request, not 403: do not point a number at it."
    return 1
  fi
}

summarise() {
  printf '%-16s %s\n' service "$PUBLIC_URL" 'voice webhook' "$PUBLIC_URL/twiml (POST)" \
    'status callback' "$PUBLIC_URL/twilio/status (POST)" stream "${PUBLIC_URL/https:/wss:}/ws/twilio"
  [[ -z $NUMBER ]] || printf '%-16s %s\n' number "$NUMBER"
}
