# shellcheck shell=bash
# What is not part of every deployment: the dashboard and its metrics, and taking everything away. Sourced by deploy.sh.

# Log-based metrics, then the dashboard and the alerts that draw on them. They look at every callbot service of the project.
make_monitoring() {
  local file name channel='' policy
  for file in "$ROOT"/deploy/log-metrics/*.yaml; do
    name=callbot/$(basename "$file" .yaml)
    if look "the metric $name" gcloud logging metrics describe "$name" --project="$PROJECT" --format='value(name)'; then
      change gcloud logging metrics update "$name" --config-from-file="$file" --project="$PROJECT"
    else
      stop_if_missing
      change gcloud logging metrics create "$name" --config-from-file="$file" --project="$PROJECT"
    fi
  done
  if ! gcloud monitoring dashboards list --project="$PROJECT" --filter='displayName="callbot"' --format='value(name)' | grep -q .; then
    change gcloud monitoring dashboards create --config-from-file="$ROOT/deploy/dashboard.json" --project="$PROJECT"
  fi
  [[ -z $NOTIFY ]] || make_channel
  policy=$(gcloud alpha monitoring policies list --project="$PROJECT" --filter='displayName="callbot"' --format='value(name)' | head -n 1)
  if [[ -z $policy ]]; then
    change gcloud alpha monitoring policies create --policy-from-file="$ROOT/deploy/alerts.yaml" --project="$PROJECT" \
      ${channel:+--notification-channels="$channel"}
  elif [[ -n $channel ]]; then
    change gcloud alpha monitoring policies update "$policy" --add-notification-channels="$channel" --project="$PROJECT"
  fi
}

# Sets `channel`, the name of the mail channel, which is made when it is not there.
make_channel() {
  local find=(gcloud beta monitoring channels list --project="$PROJECT" --format='value(name)'
    --filter="type=\"email\" AND labels.email_address=\"$NOTIFY\"")
  channel=$("${find[@]}" | head -n 1)
  [[ -z $channel ]] || return 0
  change gcloud beta monitoring channels create --display-name=callbot --type=email --channel-labels="email_address=$NOTIFY" \
    --project="$PROJECT"
  channel=CHANNEL_OF_THE_LINE_ABOVE
  [[ $DRY_RUN == yes ]] || channel=$("${find[@]}" | head -n 1)
}

# Takes away the service and what carries this script's mark. What somebody else made stays.
destroy() {
  local mark="callbot-service=$SERVICE" there=no account=no images=no secrets=() name
  look "the service $SERVICE" \
    gcloud run services describe "$SERVICE" --region="$REGION" --project="$PROJECT" --format='value(metadata.name)' && there=yes
  look "the repository $REPOSITORY" gcloud artifacts repositories describe "$REPOSITORY" --location="$REGION" \
    --project="$PROJECT" --format='value(labels.callbot-service)' && [[ $FOUND == "$SERVICE" ]] && images=yes
  if [[ $OWN_ACCOUNT == yes ]]; then
    look "the service account $SERVICE_ACCOUNT" \
      gcloud iam service-accounts describe "$SERVICE_ACCOUNT" --project="$PROJECT" --format='value(email)' && account=yes
  fi
  if look "the secrets of $PROJECT" \
    gcloud secrets list --project="$PROJECT" --filter="labels.$mark" --format='value(name.basename())'; then
    while read -r name; do
      [[ -z $name ]] || secrets+=("$name")
    done <<<"$FOUND"
  fi
  stop_if_missing
  if [[ "$there$account$images" == nonono && ${#secrets[@]} == 0 ]]; then
    say "There is nothing of $SERVICE in $PROJECT."
    return
  fi
  [[ $DRY_RUN == yes ]] || agreed "Delete $SERVICE, its images, its account and the secrets: ${secrets[*]:-none}?" || { say "Nothing was deleted."; return; }
  [[ $there == no ]] || change gcloud run services delete "$SERVICE" --region="$REGION" --project="$PROJECT" --quiet
  [[ $images == no ]] ||
    change gcloud artifacts repositories delete "$REPOSITORY" --location="$REGION" --project="$PROJECT" --quiet
  for name in ${secrets[@]+"${secrets[@]}"}; do
    change gcloud secrets delete "$name" --project="$PROJECT" --quiet
  done
  if [[ $account == yes ]]; then
    if look "the roles in $PROJECT" gcloud projects get-iam-policy "$PROJECT" --flatten=bindings \
      --filter="bindings.role=roles/aiplatform.user AND bindings.members=serviceAccount:$SERVICE_ACCOUNT" \
      --format='value(bindings.role)' && [[ -n $FOUND ]]; then
      change gcloud projects remove-iam-policy-binding "$PROJECT" --member="serviceAccount:$SERVICE_ACCOUNT" \
        --role=roles/aiplatform.user --condition=None --format=none
    fi
    change gcloud iam service-accounts delete "$SERVICE_ACCOUNT" --project="$PROJECT" --quiet
  fi
  say "A Twilio number that points at $EXPECTED_URL must be pointed elsewhere."
}
