# shellcheck shell=bash
# What must be there before anything is changed. Reads only; every missing thing gets one line that says what mends it.
# Sourced by deploy.sh.

export CLOUDSDK_CORE_DISABLE_PROMPTS=1

check_tools() {
  command -v gcloud >/dev/null || missing "gcloud is not installed" "install the Google Cloud CLI, or use Cloud Shell, which has it"
  command -v curl >/dev/null || missing "curl is not installed" "install it with your system's package manager"
  stop_if_missing
  ACCOUNT=$(gcloud auth list --filter=status:ACTIVE --format='value(account)' 2>/dev/null | head -n 1) || ACCOUNT=
  [[ -n $ACCOUNT ]] || missing "nobody is logged in to gcloud" "run: gcloud auth login"
  stop_if_missing
}

check_project() {
  [[ -n $PROJECT ]] || PROJECT=$(gcloud config get-value project 2>/dev/null) || PROJECT=
  [[ -n $PROJECT && $PROJECT != "(unset)" ]] || missing "no project is chosen" "give --project=ID, or run: gcloud config set project ID"
  stop_if_missing
  if ! PROJECT_NUMBER=$(gcloud projects describe "$PROJECT" --format='value(projectNumber)' 2>"$WORK/errors"); then
    missing "the project $PROJECT is not there for $ACCOUNT" "see: gcloud projects list (gcloud says: $(first_error))"
  elif [[ ! $PROJECT_NUMBER =~ ^[0-9]+$ ]]; then
    missing "the project $PROJECT has no number" "check its name: gcloud projects list"
  fi
  stop_if_missing
  # Cloud Run promises this address for a DNS label of at most 63 characters, so it is known before the first deploy, and
  # signatures can be made from it from the first request on.
  local label="$SERVICE-$PROJECT_NUMBER"
  ((${#label} <= 63)) || missing "the name $label is longer than 63 characters" "choose a shorter --service"
  EXPECTED_URL="https://$label.$REGION.run.app"
  PUBLIC_URLS=${SERVICE_URL:-$EXPECTED_URL}
  PUBLIC_URL=${PUBLIC_URLS%%,*}
  OWN_ACCOUNT=no
  if [[ -z $SERVICE_ACCOUNT ]]; then
    # The account of a project "example.com:name" is at name.example.com.iam...
    local domain=$PROJECT
    [[ $PROJECT != *:* ]] || domain="${PROJECT#*:}.${PROJECT%%:*}"
    SERVICE_ACCOUNT="$SERVICE-run@$domain.iam.gserviceaccount.com"
    OWN_ACCOUNT=yes
  fi
  IMAGE_NAME="$REGION-docker.pkg.dev/${PROJECT/://}/$REPOSITORY/callbot"
  stop_if_missing
}

check_apis() {
  local enabled api
  local needed=(run.googleapis.com secretmanager.googleapis.com iam.googleapis.com)
  [[ -n $IMAGE ]] || needed+=(artifactregistry.googleapis.com cloudbuild.googleapis.com)
  [[ $VERTEX == no ]] || needed+=(aiplatform.googleapis.com)
  [[ -z $NETWORK ]] || needed+=(compute.googleapis.com)
  [[ $MONITORING == no ]] || needed+=(logging.googleapis.com monitoring.googleapis.com)
  if ! enabled=$(gcloud services list --enabled --project="$PROJECT" --format='value(config.name)' 2>"$WORK/errors"); then
    missing "the APIs of $PROJECT cannot be listed" "ask for roles/serviceusage.serviceUsageViewer (gcloud says: $(first_error))"
    stop_if_missing
  fi
  for api in "${needed[@]}"; do
    grep -qxF "$api" <<<"$enabled" ||
      missing "the API $api is not enabled" "run: gcloud services enable $api --project=$PROJECT"
  done
  stop_if_missing
}

# What is there already, so that a second run makes nothing twice. Sets HAS_ACCOUNT, HAS_REPOSITORY, TAG, IMAGE
# when this commit was built before, and for each secret SECRET_VERSION, empty when there is none.
look_around() {
  local i
  HAS_ACCOUNT=no HAS_REPOSITORY=no HAS_MODEL_ROLE=no
  if look "the service account $SERVICE_ACCOUNT" \
    gcloud iam service-accounts describe "$SERVICE_ACCOUNT" --project="$PROJECT" --format='value(email)'; then
    HAS_ACCOUNT=yes
  elif [[ $? == 1 && $OWN_ACCOUNT == no ]]; then
    missing "there is no service account $SERVICE_ACCOUNT" "make it, or leave --service-account out and it is made for you"
  fi
  if [[ $VERTEX == yes && $HAS_ACCOUNT == yes ]] && look "the roles in $PROJECT" gcloud projects get-iam-policy "$PROJECT" \
    --flatten=bindings --filter="bindings.role=roles/aiplatform.user AND bindings.members=serviceAccount:$SERVICE_ACCOUNT" \
    --format='value(bindings.role)'; then
    [[ -z $FOUND ]] || HAS_MODEL_ROLE=yes
  fi
  [[ -n $IMAGE ]] || look_for_image
  SECRET_VERSION=() SECRET_EXISTS=() SECRET_BOUND=()
  for i in "${!SECRET_ENV[@]}"; do
    look_for_secret "$i"
  done
  if [[ -n $SUBNET ]] && ! look "the subnet $SUBNET" gcloud compute networks subnets describe "$SUBNET" --region="$REGION" \
    --project="$PROJECT" --format='value(name)' && ((PROBLEMS == 0)); then
    missing "there is no subnet $SUBNET in $REGION" \
      "run: gcloud compute networks subnets create $SUBNET --network=$NETWORK --region=$REGION --range=10.8.0.0/26 --project=$PROJECT"
  fi
  stop_if_missing
}

look_for_image() {
  TAG=$(source_tag)
  if look "the repository $REPOSITORY" gcloud artifacts repositories describe "$REPOSITORY" --location="$REGION" \
    --project="$PROJECT" --format='value(format)'; then
    HAS_REPOSITORY=yes
    [[ $FOUND == DOCKER ]] || missing "the repository $REPOSITORY is for $FOUND" "choose another --repository"
    # A commit is built once. Work that is not committed has no name of its own, so it is built each time.
    if [[ $TAG != *-changed && $TAG != unversioned && $REBUILD == no ]] && look "the image $IMAGE_NAME:$TAG" \
      gcloud artifacts docker images describe "$IMAGE_NAME:$TAG" --project="$PROJECT" --format='value(image_summary.digest)'; then
      IMAGE="$IMAGE_NAME@$FOUND"
    fi
  fi
}

source_tag() {
  local commit
  if ! commit=$(git -C "$ROOT" rev-parse --short=12 HEAD 2>/dev/null); then
    printf 'unversioned'
  elif [[ -n $(git -C "$ROOT" status --porcelain -- callbot requirements.lock Dockerfile .dockerignore .gcloudignore) ]]; then
    printf '%s-changed' "$commit"
  else
    printf '%s' "$commit"
  fi
}

look_for_secret() {
  local i=$1
  local env=${SECRET_ENV[i]} name=${SECRET_NAME[i]}
  SECRET_VERSION[i]='' SECRET_EXISTS[i]=no SECRET_BOUND[i]=no
  if look "the secret $name" gcloud secrets describe "$name" --project="$PROJECT" --format='value(name)'; then
    SECRET_EXISTS[i]=yes
    if look "the newest version of $name" \
      gcloud secrets versions describe latest --secret="$name" --project="$PROJECT" --format='value(name.basename(),state)'; then
      SECRET_VERSION[i]=${FOUND%%[[:space:]]*}
      if [[ ! ${FOUND##*[[:space:]]} =~ ^(enabled|ENABLED)$ ]] && [[ $ROTATE == no || -z ${SECRET_VALUE[i]} ]]; then
        missing "the newest version of the secret $name is not enabled" \
          "run: gcloud secrets versions enable ${SECRET_VERSION[i]} --secret=$name --project=$PROJECT"
      fi
    fi
    if look "who may read $name" gcloud secrets get-iam-policy "$name" --project="$PROJECT" --flatten=bindings \
      --filter="bindings.role=roles/secretmanager.secretAccessor AND bindings.members=serviceAccount:$SERVICE_ACCOUNT" \
      --format='value(bindings.role)'; then
      [[ -z $FOUND ]] || SECRET_BOUND[i]=yes
    fi
  fi
  if [[ -z ${SECRET_VERSION[i]} && -z ${SECRET_VALUE[i]} ]]; then
    missing "the secret $name has no value" "run: read -rs $env && export $env, paste it, press Enter, then run this script again"
  fi
}

# What this deployment will do, against what the account may do. Google answers exactly, groups and inherited roles included.
check_roles() {
  local i
  local permissions=(run.services.create:run.admin run.services.update:run.admin run.services.setIamPolicy:run.admin)
  local absent=no unbound=no rotated=no
  for i in "${!SECRET_ENV[@]}"; do
    [[ ${SECRET_EXISTS[i]} == yes ]] || absent=yes
    [[ ${SECRET_BOUND[i]} == yes ]] || unbound=yes
    ! adds_version "$i" || rotated=yes
  done
  [[ $absent == no ]] || permissions+=(secretmanager.secrets.create:secretmanager.admin)
  [[ $rotated == no ]] || permissions+=(secretmanager.versions.add:secretmanager.admin)
  [[ $unbound == no ]] || permissions+=(secretmanager.secrets.setIamPolicy:secretmanager.admin)
  if [[ -z $IMAGE ]]; then
    permissions+=(cloudbuild.builds.create:cloudbuild.builds.editor)
    [[ $HAS_REPOSITORY == yes ]] || permissions+=(artifactregistry.repositories.create:artifactregistry.admin)
  fi
  [[ $VERTEX == no || $HAS_MODEL_ROLE == yes ]] ||
    permissions+=(resourcemanager.projects.setIamPolicy:resourcemanager.projectIamAdmin)
  [[ $MONITORING == no ]] || permissions+=(logging.logMetrics.create:logging.configWriter
    monitoring.dashboards.create:monitoring.editor monitoring.alertPolicies.create:monitoring.editor)
  [[ -z $NOTIFY ]] || permissions+=(monitoring.notificationChannels.create:monitoring.notificationChannelEditor)
  if [[ $HAS_ACCOUNT == no ]]; then
    permissions+=(iam.serviceAccounts.create:iam.serviceAccountAdmin iam.serviceAccounts.actAs:iam.serviceAccountUser)
  else
    may_all "https://iam.googleapis.com/v1/projects/$PROJECT/serviceAccounts/$SERVICE_ACCOUNT:testIamPermissions" \
      iam.serviceAccounts.actAs:iam.serviceAccountUser
  fi
  may_all "https://cloudresourcemanager.googleapis.com/v1/projects/$PROJECT:testIamPermissions" "${permissions[@]}"
  stop_if_missing
}

adds_version() {
  [[ -n ${SECRET_VALUE[$1]} ]] && [[ $ROTATE == yes || -z ${SECRET_VERSION[$1]} ]]
}

# may_all URL PERMISSION:ROLE...: one line for each role that would be needed and is not there.
may_all() {
  local url=$1 pair permission role answer names='' named=' ' member=user
  shift
  for pair in "$@"; do
    names+="${names:+,}\"${pair%%:*}\""
  done
  # The access token goes from gcloud to curl through a pipe, never through an argument.
  if ! answer=$(gcloud auth print-access-token 2>/dev/null | sed 's/.*/header = "Authorization: Bearer &"/' |
    curl --silent --fail --max-time 20 --config - --header 'Content-Type: application/json' \
      --data "{\"permissions\":[$names]}" "$url"); then
    say "Note: which roles $ACCOUNT has could not be asked; a missing one will show as a failing command."
    return
  fi
  [[ $ACCOUNT != *.gserviceaccount.com ]] || member=serviceAccount
  for pair in "$@"; do
    permission=${pair%%:*} role=roles/${pair#*:}
    if [[ $answer != *"\"$permission\""* && $named != *" $role "* ]]; then
      named+="$role "
      missing "$ACCOUNT may not $permission" "an owner of the project can give the role: gcloud projects add-iam-policy-binding $PROJECT --member=$member:$ACCOUNT --role=$role"
    fi
  done
}

# What `callbot serve` would say at its start, said now: the same list, where callbot is installed beside this script. A secret
# that is only in Secret Manager has a stand-in of its form here.
check_settings() {
  local callbot=$ROOT/.venv/bin/callbot i values=() said
  if [[ ! -x $callbot ]]; then
    say "Note: callbot is not installed here (make .venv/.run-ready), so its settings are first looked at when the service starts."
    return
  fi
  read_settings
  for i in "${!SECRET_ENV[@]}"; do
    if [[ -n ${SECRET_VALUE[i]} ]]; then
      values+=("${SECRET_ENV[i]}=${SECRET_VALUE[i]}")
    elif [[ ${SECRET_ENV[i]} == REDIS_URL ]]; then
      values+=(REDIS_URL=redis://in-secret-manager)
    else
      values+=("${SECRET_ENV[i]}=in-secret-manager")
    fi
  done
  # Secrets go through a file that only this account can read, never through an argument. In a folder without an .env of its own.
  said=$(cd "$WORK" && umask 077 && printf '%s\0' "K_SERVICE=$SERVICE" "${SETTINGS[@]}" "${values[@]}" >settings &&
    env -i PATH="$PATH" bash -c 'while IFS= read -r -d "" each; do export "$each"; done <settings; exec "$0" check --offline' "$callbot") ||
    missing "callbot would not start with these settings" "$(printf '%s' "$said" | sed -n 's/^error *[a-z]* *//p; s/^ *-> / -> /p' | tr '\n' ' ')"
  stop_if_missing
}

warn_about_choices() {
  local i
  say "Note: room for $((MAX_INSTANCES * MAX_CALLS)) calls at once: $MAX_INSTANCES instances, $MAX_CALLS on each."
  if ((MAX_INSTANCES > 1)) && [[ -z $REDIS_URL_SECRET ]]; then
    say "Note: without Redis each instance knows only its own calls; a call whose instance dies begins anew at another one."
  fi
  if [[ $MONITORING == yes && -z $NOTIFY ]]; then
    say "Warning: alerts without --notify=MAIL wake nobody; the console shows them."
  fi
  if ((MIN_INSTANCES == 0)); then
    say "Note: with --min-instances=0 the first caller after a quiet time waits, and no alert can tell a dead service from a quiet one."
  fi
  for i in "${!SECRET_ENV[@]}"; do
    if [[ -n ${SECRET_VALUE[i]} ]] && ! adds_version "$i"; then
      say "Note: ${SECRET_ENV[i]} is taken from the secret ${SECRET_NAME[i]}, not from the environment (--rotate-secrets changes that)."
    fi
  done
}
