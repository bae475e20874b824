# Figures: medians of hyperfine, kept as JSON in $results. Sourced by bench/run.
# shellcheck shell=bash

# hyperfine on named commands: figure FILE NAME COMMAND [NAME COMMAND]... With $prepare, that runs
# before each run of each.
figure() {
  local file=$results/$1.json
  local -a options=(--shell=none --warmup 1 --runs "$runs" --export-json "$file")
  [[ -z ${prepare-} ]] || options+=(--prepare "$prepare")
  shift
  while (($#)); do
    options+=(--command-name "$1" "$2")
    shift 2
  done
  hyperfine "${options[@]}" >&2
}

# Figure $1: the numbers of the runs in file $2, ours, and in file $4, those of $3; their medians.
pair_figure() {
  jq -n --arg name "$1" --arg other "$3" --slurpfile ours "$2" --slurpfile others "$4" \
    'def middle: sort | .[(length - 1) / 2 | floor];
     {name: $name, agentvm: ($ours | middle), ($other): ($others | middle),
      runs: {agentvm: $ours, ($other): $others}}' >"$results/$1.json"
  say "$1: $(jq -c --arg other "$3" '[.agentvm, .[$other], .agentvm / .[$other]]' "$results/$1.json")"
}

# Seconds of command $2 in figure $1.
median() { jq -r --arg name "$2" '.results[]|select(.command==$name)|.median' "$results/$1.json"; }
percentile99() {
  jq -r --arg name "$2" '.results[]|select(.command==$name)|.times|sort|.[(length*0.99|floor)]' \
    "$results/$1.json"
}
ratio() { jq -n --argjson a "$1" --argjson b "$2" '$a/$b*100|round/100'; }
milliseconds() { jq -rn --argjson s "$1" '$s*1000|round|tostring+" ms"'; }

# Fails when command $1 of figure `start` takes more than $2 times the bare boot.
check_ratio() {
  local found
  found=$(ratio "$(median start "$1")" "$(median start 'bare QEMU')")
  say "$1: $found x the bare boot, $2 allowed"
  jq -en "$found <= $2" >/dev/null || die "$1 takes $found times the bare boot; $2 times is the most"
}
