# shellcheck shell=bash
# What the script says, and the one way in which it changes anything. Sourced by deploy.sh.
#
# Progress and problems go to stderr; stdout has the commands of a dry run, or the addresses at the end. What only reads calls
# gcloud directly; what changes something goes through `change`, so that a dry run cannot.

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

PROBLEMS=0

say() {
  printf '%s\n' "$*" >&2
}

# One line for one thing that is missing: what, and what mends it.
missing() {
  say "deploy.sh: $1; $2"
  PROBLEMS=$((PROBLEMS + 1))
}

# Ends the script when something was missing. Called after each group of checks, so that one run names all of a group.
stop_if_missing() {
  ((PROBLEMS == 0)) || exit 2
}

print_command() {
  local line
  printf -v line '%q ' "$@"
  printf '%s\n' "${line% }"
}

change() {
  if [[ $DRY_RUN == yes ]]; then
    print_command "$@"
  else
    "$@" >&2
  fi
}

# As `change`, with a value on standard input: the only way in which a secret leaves this script.
change_with_input() {
  local value=$1
  shift
  if [[ $DRY_RUN == yes ]]; then
    printf '%s # a secret on standard input\n' "$(print_command "$@")"
  else
    printf '%s' "$value" | "$@"
  fi
}

# A new service account is not known everywhere at once; for half a minute bindings to it may be refused.
change_patiently() {
  local try
  for try in 1 2 3 4 5 6; do
    if change "$@"; then
      return 0
    fi
    [[ $try == 6 ]] || { say "  not yet; trying again"; sleep 5; }
  done
  return 1
}

# look WHAT COMMAND...: is it there? FOUND is what the command printed. Returns 0 when it is there, 1 when it is not, and 2
# when that cannot be said, which is a problem with a line of its own.
look() {
  local what=$1
  shift
  if FOUND=$("$@" 2>"$WORK/errors"); then
    return 0
  fi
  FOUND=
  if grep -qiE 'not[ _-]found|cannot find|does not exist' "$WORK/errors"; then
    return 1
  fi
  missing "$what cannot be looked at" "gcloud says: $(first_error)"
  return 2
}

first_error() {
  local line
  line=$(sed -nE 's/^ERROR: *//p' "$WORK/errors" | head -n 1)
  [[ -n $line ]] || line=$(head -n 1 "$WORK/errors")
  printf '%s' "${line:-nothing}"
}

# Asks on a terminal; without one, only --yes is an answer.
agreed() {
  local answer
  [[ $YES == no ]] || return 0
  if [[ ! -t 0 ]]; then
    missing "this needs your word: $1" "run it with --yes"
    stop_if_missing
  fi
  read -rp "$1 [y/N] " answer
  [[ $answer == [yY]* ]]
}
