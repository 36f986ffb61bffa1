# shellcheck shell=bash
# Pointing a Twilio number at the service, with Twilio's REST API. Sourced by deploy.sh.

TWILIO_API=https://api.twilio.com/2010-04-01

# twilio PATH CURL-OPTION...: credentials go to curl on standard input. ANSWER and HTTP_STATUS are what came back.
twilio() {
  local path=$1 password=${TWILIO_PASSWORD//\\/\\\\}
  shift
  ANSWER=$(printf 'user = "%s:%s"\n' "$TWILIO_USER" "${password//\"/\\\"}" |
    curl --silent --show-error --max-time 20 --config - --write-out '\n%{http_code}' "$@" "$TWILIO_API$path" 2>"$WORK/errors") || ANSWER=$'\n0'
  HTTP_STATUS=${ANSWER##*$'\n'}
  ANSWER=${ANSWER%$'\n'*}
}

# json_text NAME: the first text of that name in ANSWER.
json_text() {
  local pattern="\"$1\"[[:space:]]*:[[:space:]]*\"([^\"]*)\""
  [[ $ANSWER =~ $pattern ]] && printf '%s' "${BASH_REMATCH[1]}"
}

take_twilio_credentials() {
  [[ -z $TWILIO_USER || -z $TWILIO_PASSWORD ]] || return 0
  TWILIO_USER=$ACCOUNT_SID
  TWILIO_PASSWORD=${SECRET_VALUE[0]} # TWILIO_AUTH_TOKEN is the first secret
  if [[ -z $TWILIO_PASSWORD ]]; then
    TWILIO_PASSWORD=$(gcloud secrets versions access "${SECRET_VERSION[0]}" --secret="${SECRET_NAME[0]}" --project="$PROJECT" \
      2>"$WORK/errors") || missing "the secret ${SECRET_NAME[0]} cannot be read" \
      "set TWILIO_API_KEY and TWILIO_API_SECRET instead (gcloud says: $(first_error))"
  fi
  TWILIO_PASSWORD=${TWILIO_PASSWORD%%,*} # during a rotation there are two; the first is the primary
  stop_if_missing
}

check_twilio() {
  [[ -n $NUMBER ]] || return 0
  take_twilio_credentials
  twilio "/Accounts/$ACCOUNT_SID.json"
  case $HTTP_STATUS in
    200)
      [[ $(json_text type) != Trial ]] ||
        missing "the Twilio account is a trial account, whose calls cannot be streamed" "upgrade it in Twilio's console"
      ;;
    401 | 403)
      # A standard API key may not look at the account, but at its numbers; if that fails too, the next lines say so.
      [[ $TWILIO_USER == SK* ]] || missing "Twilio refuses the auth token of $ACCOUNT_SID" "copy both from Twilio's console again"
      ;;
    404) missing "Twilio has no account $ACCOUNT_SID" "copy TWILIO_ACCOUNT_SID from Twilio's console" ;;
    *) missing "Twilio cannot be asked (HTTP $HTTP_STATUS)" "check the network, then run this again" ;;
  esac
  stop_if_missing
  twilio "/Accounts/$ACCOUNT_SID/IncomingPhoneNumbers.json" --get --data-urlencode "PhoneNumber=$NUMBER"
  [[ $HTTP_STATUS == 200 ]] ||
    missing "Twilio refuses to list the numbers of $ACCOUNT_SID (HTTP $HTTP_STATUS)" "check the key or token in Twilio's console"
  stop_if_missing
  NUMBER_SID=$(json_text sid) || true
  [[ $NUMBER_SID =~ ^PN[0-9a-f]{32}$ && $(json_text phone_number) == "$NUMBER" ]] ||
    missing "the account has no number $NUMBER" "buy it, or give one that it has, in the form +14155550100"
  stop_if_missing
  local now
  now=$(json_text voice_url) || now=
  NUMBER_POINTS_HERE=no
  if [[ $now == "$PUBLIC_URL/twiml" ]]; then
    NUMBER_POINTS_HERE=yes
  elif [[ -n $now && $DRY_RUN == no ]] && ! agreed "$NUMBER is answered by $now now. Point it at $PUBLIC_URL instead?"; then
    missing "the number stays where it is" "leave --number out to deploy without it"
  fi
  stop_if_missing
}

# The voice webhook, what is asked when it fails, and where the end of a call is told: without the last one a lost hang-up
# would leave the call in the records for ever.
point_number() {
  local fallback=${FALLBACK_URL:-$PUBLIC_URL/twiml}
  local request=(--data-urlencode "VoiceUrl=$PUBLIC_URL/twiml" --data-urlencode VoiceMethod=POST
    --data-urlencode "VoiceFallbackUrl=$fallback" --data-urlencode VoiceFallbackMethod=POST
    --data-urlencode "StatusCallback=$PUBLIC_URL/twilio/status" --data-urlencode StatusCallbackMethod=POST)
  local path="/Accounts/$ACCOUNT_SID/IncomingPhoneNumbers/$NUMBER_SID.json"
  if [[ $DRY_RUN == yes ]]; then
    printf '%s # credentials on standard input\n' "$(print_command curl --config - "${request[@]}" "$TWILIO_API$path")"
    return
  fi
  [[ $NUMBER_POINTS_HERE == yes ]] || say "Pointing $NUMBER at $PUBLIC_URL"
  twilio "$path" "${request[@]}"
  if [[ $HTTP_STATUS != 200 ]]; then
    say "deploy.sh: Twilio did not take the addresses (HTTP $HTTP_STATUS); set them in its console, as docs/deploy.md shows"
    return 1
  fi
}
