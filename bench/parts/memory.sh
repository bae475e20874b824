# What containers that do nothing cost. Sourced by bench/run.
# shellcheck shell=bash

# Of every process of container $1, a line each: name, PSS, and the part of it that is the guest's
# memory, in KiB.
list_memory() {
  local pid
  # Whichever of these this host has.
  { cat /sys/fs/cgroup/{,unified/,memory/}"$1"/cgroup.procs 2>/dev/null || true; } | sort -u |
    while read -r pid; do
      printf '%s ' "$(<"/proc/$pid/comm")"
      awk '/^Pss:/ {pss=$2} /^Pss_Shmem:/ {shared=$2} END {print pss, shared}' "/proc/$pid/smaps_rollup"
    done
}

available_kib() { awk '/^MemAvailable:/ {print $2}' /proc/meminfo; }

# One in detail, twenty by what the host has left.
measure_memory() {
  say "memory of idle containers"
  local before i
  agentvm run --detach --bundle "$scratch/sleeper" idle
  list_memory idle >"$results/memory.txt"
  [[ -s $results/memory.txt ]] || die "no process found for container idle"
  before=$(available_kib)
  for ((i = 0; i < 20; i++)); do agentvm run --detach --bundle "$scratch/sleeper" "idle$i"; done
  jq -n --argjson before "$before" --argjson after "$(available_kib)" \
    '{containers: 20, kib_each: (($before - $after) / 20 | round)}' >"$results/memory-20.json"
  for ((i = 0; i < 20; i++)); do agentvm delete --force "idle$i"; done
  agentvm delete --force idle
  say "$(memory_above_guest) KiB without the guest's memory; $(jq .kib_each "$results/memory-20.json") KiB for each of twenty"
}

# KiB of ours (without QEMU and virtiofsd); of all processes without the guest's memory.
memory_of_ours() { awk '!/^(qemu|virtiofsd)/ {sum += $2} END {print sum}' "$results/memory.txt"; }
memory_above_guest() { awk '{sum += $2 - $3} END {print sum}' "$results/memory.txt"; }
