# bench/README.md and its plot, from the figures. Sourced by bench/run.
# shellcheck shell=bash

row() { printf '| %s | %s | %s | %s |\n' "$@"; }

# A row of figure `start`: text, command, goal.
start_row() {
  local seconds
  seconds=$(median start "$2")
  row "$1" "$(milliseconds "$seconds")" "$(milliseconds "$(percentile99 start "$2")")" \
    "**$(ratio "$seconds" "$(median start 'bare QEMU')") ×** the bare boot; $3"
}

crowd_row() {
  local each
  each=$(jq --argjson n "$1" '.results[0].median/$n' "$results/crowd-$1.json")
  row "$1 containers at once from a template, for each" "$(milliseconds "$each")" '' \
    'goal ≤ 250 ms on 2 cores'
}

# A row of figure `first`: text, command.
first_row() {
  local ours theirs
  ours=$(median first "$2") theirs=$(median first runc)
  row "$1" "$(milliseconds "$ours")" "$(milliseconds "$(percentile99 first "$2")")" \
    "**$(ratio "$ours" "$theirs") ×** runc's $(milliseconds "$theirs")"
}

# A row of `docker run`: text, command, goal.
docker_row() {
  [[ -e $results/docker.json ]] || return 0
  local ours theirs
  ours=$(median docker "$2") theirs=$(median docker 'docker run, runc')
  row "$1" "$(milliseconds "$ours")" "$(milliseconds "$(percentile99 docker "$2")")" \
    "**$(ratio "$ours" "$theirs") ×** runc's $(milliseconds "$theirs"); $3"
}

main_table() {
  local stream socat
  stream=$(stream_rate 'agentvm exec dd') socat=$(stream_rate 'socat over vsock')
  echo '| figure | median | p99 | compared |'
  echo '|---|---|---|---|'
  start_row "\`agentvm run\` of busybox \`true\` from a template, whole process" \
    'agentvm run, template' 'goal ≤ 200 ms'
  start_row 'the same, from the pool' 'agentvm run, pool' 'goal ≤ 60 ms'
  start_row 'the same, booting' 'agentvm run, boot' 'goal ≤ 1.3 ×'
  start_row 'bare QEMU, same machine, kernel and initramfs, trivial init' 'bare QEMU' '–'
  start_row "\`runc run\` of the same bundle" 'runc run' '–'
  ! command -v runsc >/dev/null || start_row "\`runsc run\` of the same bundle" 'runsc run' '–'
  first_row "\`create\` and \`start\` to the first byte of output, from a template" 'agentvm, template'
  first_row 'the same, from the pool' 'agentvm, pool'
  docker_row "\`docker run --rm\` of \`true\`" 'docker run, agentvm' 'goal ≤ 1.5 ×'
  docker_row 'the same, from the pool' 'docker run, pool' '–'
  crowd_row 10
  crowd_row 50
  row "\`agentvm exec\` of \`true\`" "$(milliseconds "$(median exec 'agentvm exec')")" \
    "$(milliseconds "$(percentile99 exec 'agentvm exec')")" 'goal ≤ 25 ms'
  if [[ -e $results/vsock.json ]]; then
    row "a stream out of the guest over vsock, $vsock_mib MiB" \
      "$(jq -r '(.agentvm | round | tostring) + " MB/s"' "$results/vsock.json")" '' \
      "**$(jq '.agentvm / .peer * 100 | round / 100' "$results/vsock.json") ×** vhost-device-vsock's \
$(jq '.peer | round' "$results/vsock.json") MB/s; goal ≥ 1.2 ×"
  fi
  row "stdout of a container into a pipe, $stream_mib MiB" "$stream MB/s" '' \
    "**$(ratio "$stream" "$socat") ×** socat's $socat MB/s over the same vsock; goal ≥ 100 MB/s"
  row 'an idle container, PSS of all processes without the guest'"'"'s memory' \
    "$(memory_above_guest) KiB" '' 'goal ≤ 40 MiB'
  row 'of that, processes of ours' "$(memory_of_ours) KiB" '' 'goal ≤ 12 MiB'
  row 'twenty idle containers, what the host has less, for each' \
    "$(jq .kib_each "$results/memory-20.json") KiB" '' '–'
  row 'a VM that waits in the pool, PSS of all its processes' "$(jq .kib "$results/pool.json") KiB" '' '–'
  row 'its CPU time in a second' "$(jq .cpu_ms_per_second "$results/pool.json") ms" '' '–'
  row 'what a restore copies of the template' "$(jq .mib "$results/template.json") MiB" '' '–'
}

files_table() {
  local i ours default
  echo '| work on files in the root | agentvm | virtiofsd with its defaults | runc | compared with those defaults |'
  echo '|---|---|---|---|---|'
  for ((i = 0; i < ${#file_work[@]}; i += 2)); do
    ours=$(median "files-$((i / 2))" agentvm)
    default=$(median "files-$((i / 2))" 'virtiofsd defaults')
    printf '| %s | %s | %s | %s | **%s ×** as fast |\n' "${file_work[i]}" "$(milliseconds "$ours")" \
      "$(milliseconds "$default")" "$(milliseconds "$(median "files-$((i / 2))" runc)")" \
      "$(ratio "$default" "$ours")"
  done
}

# A row of the network: text, figure, unit, what a unit has of the figure's, goal.
network_row() {
  local file=$results/network-$2.json
  printf '| %s | %s | %s | **%s ×**; %s |\n' "$1" \
    "$(jq -r --arg unit "$3" "(.agentvm/$4*100|round/100|tostring) + \" \" + \$unit" "$file")" \
    "$(jq -r --arg unit "$3" "(.bare/$4*100|round/100|tostring) + \" \" + \$unit" "$file")" \
    "$(jq '.agentvm/.bare*100|round/100' "$file")" "$5"
}

network_table() {
  echo '| between a namespace of the host and the guest | agentvm | bare QEMU, its tap in that namespace | compared |'
  echo '|---|---|---|---|'
  network_row 'TCP stream to the guest' to_guest 'Mbit/s' 1e6 'goal ≥ 0.95 ×'
  network_row 'TCP stream from the guest' from_guest 'Mbit/s' 1e6 'goal ≥ 0.95 ×'
  network_row 'round trip' round_trip ms 1 'goal ≤ 1.1 ×'
}

# The value of member $1 of the gateway's figures, with $2 digits.
gateway_figure() { jq --argjson digits "$2" ".$1 * pow(10; \$digits) | round / pow(10; \$digits)" "$results/gateway.json"; }

# A row of the gateway: text, member, its member without the gateway, unit, goal.
gateway_row() {
  local ours without
  ours=$(gateway_figure "$2" 3) without=$(gateway_figure "$3" 3)
  printf '| %s | %s %s | %s %s | **%s ×**; %s |\n' "$1" "$ours" "$4" "$without" "$4" \
    "$(ratio "$ours" "$without")" "$5"
}

gateway_table() {
  [[ -e $results/gateway.json ]] || return 0
  echo '| the gateway of a sandbox, 1,000 rules, between namespaces of the host | with it | without | compared |'
  echo '|---|---|---|---|'
  gateway_row 'TCP stream to the world' to_world_mbit to_world_straight_mbit Mbit/s \
    'goal ≥ 0.8 × from a VM'
  gateway_row 'TCP stream from the world' from_world_mbit from_world_straight_mbit Mbit/s \
    'goal ≥ 0.8 × from a VM'
  gateway_row 'connection and first byte' connect_ms connect_straight_ms ms –
  gateway_row 'round trip' trip_ms trip_straight_ms ms –
  printf '| decision on a connection | %s µs | | goal ≤ 5 µs |\n' "$(gateway_figure decision_us 2)"
  printf '| decision on a request | %s µs | | goal ≤ 5 µs |\n' "$(gateway_figure request_us 2)"
  printf '| update of the policy | %s ms | | goal ≤ 10 ms |\n' "$(gateway_figure update_ms 2)"
  printf '| memory with 200 connections | %s KiB | | goal ≤ 20 MiB |\n' \
    "$(gateway_figure memory_200_kib 0)"
}

# What a container with a disk and a Docker pays that nobody uses, and work on the disk.
disk_table() {
  [[ -e $results/disk-start.json ]] || return 0
  local i ours bare
  ours=$(median disk-start 'with a Docker, unused') bare=$(median disk-start 'without a disk')
  printf "A start with a Docker inside that is not used: %s, without %s: **%s** more (goal ≤ 30 ms).\n\n" \
    "$(milliseconds "$ours")" "$(milliseconds "$bare")" "$(milliseconds "$(jq -n "$ours-$bare")")"
  echo "| work on a container's own disk | agentvm | bare QEMU, same kernel, same image | compared |"
  echo '|---|---|---|---|'
  for i in 0 1 2; do
    ours=$(disk_median "$results/disk-agentvm.txt" "$((i + 1))")
    bare=$(disk_median "$results/disk-bare.txt" "$((i + 1))")
    printf '| %s | %s ms | %s ms | **%s ×** as fast; goal ≥ 0.95 × |\n' "${disk_work[i]}" \
      "$ours" "$bare" "$(ratio "$bare" "$ours")"
  done
}

# Bars of figure `start`, in milliseconds.
write_plot() {
  jq -r '.results[] | [.command, (.median * 1000 | round)] | @tsv' "$results/start.json" |
    awk -F'\t' '
      { name[NR] = $1; ms[NR] = $2; if ($2 > most) most = $2 }
      END {
        width = 720; left = 170; bar = 22; step = 34; height = NR * step + 20
        printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n", width, height
        printf "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
        for (i = 1; i <= NR; i++) {
          y = 10 + (i - 1) * step; w = ms[i] / most * (width - left - 90)
          printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left - 8, y + 16, name[i]
          printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", left, y, w, bar, name[i] ~ /^agentvm/ ? "#1f6feb" : "#9aa4b2"
          printf "<text x=\"%.1f\" y=\"%d\">%d ms</text>\n", left + w + 6, y + 16, ms[i]
        }
        print "</svg>"
      }' >"$root/bench/start.svg"
}

describe_machine() {
  printf 'Machine: %s, %s cores, %s; accelerator %s. %s runs each (a third of that for files, network and Docker, 3 for crowds).\n' \
    "$(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo)" "$(nproc)" \
    "Linux $(uname -r | cut -d- -f1)" "$(agentvm check | awk '$2=="accelerator" {print $3}' | tr -d :)" "$runs"
}

# The figures of this run in the place of older ones, and the page of all that there are.
write_readme() {
  mkdir -p "$root/bench/results"
  cp "$results"/* "$root/bench/results/"
  results=$root/bench/results
  {
    cat <<'TEXT'
# Figures

Written by `bench/run`. Every row compares medians taken in one run, turn by turn; the raw figures are
in `results/`. The goals are those of the project's issues.

TEXT
    printf '%s\n\n' "$(<"$results/machine.txt")"
    printf '![from the command to the end of true](start.svg)\n\n'
    main_table
    echo
    disk_table
    printf '\n'
    files_table
    printf '\n'
    network_table
    printf '\n'
    gateway_table
    printf '\nProcesses of an idle container: name, PSS, the guest'"'"'s memory in it (KiB)\n\n```\n%s\n```\n' \
      "$(<"$results/memory.txt")"
    printf '\nWhere the time of a start from a template goes (%s)\n\n```\n%s\n```\n' \
      "\`agentvm run --timings\`" "$(<"$results/timings.txt")"
    printf '\nThe same from the pool\n\n```\n%s\n```\n' "$(<"$results/timings-pool.txt")"
    cat "$root/bench/limits.md"
  } >"$root/bench/README.md"
  write_plot
  say "written: bench/README.md"
}
