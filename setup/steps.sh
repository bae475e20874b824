# Steps of a script that its user watches: sourced by quickstart and run-tests.
#
#   steps_log FILE            where the steps' output goes
#   step TITLE COMMAND...     runs the command; prints one line when it is done, and signs of life
#                             before. On failure: the end of its output, and its exit status.
#   ahead COMMAND...          begins, beside what follows and with the lowest priority, what a later
#                             step does anyway
#   ahead_end                 ends that, wherever it is
# shellcheck shell=bash

steps_file=/dev/null
steps_child=''
steps_ticker=''
steps_ahead=''

steps_log() {
  steps_file=$1
  mkdir -p "$(dirname "$steps_file")"
  : >"$steps_file"
  trap steps_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Ends what a step has started, also after ^C: a step runs in a session of its own.
steps_end() {
  [[ ! $steps_child ]] || kill -TERM -- "-$steps_child" 2>/dev/null || true
  [[ ! $steps_ticker ]] || kill "$steps_ticker" 2>/dev/null || true
  ahead_end
}

ahead() {
  setsid chrt --idle 0 "$@" >"$steps_file.ahead" 2>&1 </dev/null &
  steps_ahead=$!
}

ahead_end() {
  [[ $steps_ahead ]] || return 0
  kill -TERM -- "-$steps_ahead" 2>/dev/null || true
  wait "$steps_ahead" 2>/dev/null || true
  steps_ahead=''
}

# Tenths of a second since an unspecified start.
steps_clock() {
  local now=${EPOCHREALTIME/[.,]/}
  printf '%s' "$((now / 100000))"
}

steps_seconds() { printf '%d.%d s' "$(($1 / 10))" "$(($1 % 10))"; }

# The last line of the log, harmless to a terminal and at most 60 columns wide.
steps_last_line() { tail -n 1 "$steps_file" | tr -cd '[:print:]' | cut -c1-60; }

steps_sign_of_life() {
  local title=$1 elapsed=$2
  if [[ -t 1 ]]; then
    printf '\r\033[K  %-34s %8s  %s' "$title" "$(steps_seconds "$elapsed")" "$(steps_last_line)"
  elif ((elapsed >= steps_next)); then
    printf '  %-34s %8s  ... %s\n' "$title" "$(steps_seconds "$elapsed")" "$(steps_last_line)"
    steps_next=$((elapsed + 150))
  fi
}

step() {
  local title=$1 begin status=0 ended
  shift
  begin=$(steps_clock)
  steps_next=150
  printf '== %s: %s\n' "$title" "$*" >>"$steps_file"
  setsid "$@" >>"$steps_file" 2>&1 </dev/null &
  steps_child=$!
  while true; do
    sleep 1 &
    steps_ticker=$!
    ended=''
    status=0
    wait -n -p ended "$steps_child" "$steps_ticker" || status=$?
    [[ $ended != "$steps_child" ]] || break
    steps_sign_of_life "$title" "$(($(steps_clock) - begin))"
  done
  steps_child=''
  kill "$steps_ticker" 2>/dev/null || true
  wait "$steps_ticker" 2>/dev/null || true
  steps_ticker=''
  [[ ! -t 1 ]] || printf '\r\033[K'
  local elapsed
  elapsed=$(steps_seconds "$(($(steps_clock) - begin))")
  if ((status == 0)); then
    printf '  %-34s %8s\n' "$title" "$elapsed"
    return 0
  fi
  printf '  %-34s %8s  FAILED (status %d)\n' "$title" "$elapsed" "$status"
  awk -v start="== $title: " 'index($0, start) == 1 {n = 0} {line[n++] = $0}
    END {for (i = n > 40 ? n - 40 : 1; i < n; i++) print "    " line[i]}' "$steps_file"
  printf '  The whole output: %s\n' "$steps_file"
  return "$status"
}
