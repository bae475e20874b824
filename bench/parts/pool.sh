# What VMs that wait cost. Sourced by bench/run.
# shellcheck shell=bash

# A program that ends once the pool is full.
make_pool_full() {
  printf '#!/bin/sh\nexec %s pool fill >/dev/null\n' "$pooled" >"$scratch/pool-full"
  chmod +x "$scratch/pool-full"
}

empty_pool() {
  [[ -x $scratch/pool-full ]] || return 0
  "$scratch/pool-full"
  $pooled pool drain >/dev/null
}

# Of a process, in milliseconds of CPU time.
cpu_ms() {
  local pid
  # Whichever of these this host has.
  { cat /sys/fs/cgroup/{,unified/,cpu/}"$1"/cgroup.procs 2>/dev/null || true; } | sort -u |
    while read -r pid; do awk '{print ($14 + $15) * 10}' "/proc/$pid/stat"; done |
    awk '{sum += $1} END {print sum + 0}'
}

measure_pool() {
  say "a VM that waits"
  "$scratch/pool-full"
  local id before
  id=$($pooled pool ls --format json | jq -r '.[0].id')
  sleep 2
  list_memory "agentvm-pool/$id" >"$results/pool-memory.txt"
  [[ -s $results/pool-memory.txt ]] || die "no process found for VM '$id' of the pool"
  before=$(cpu_ms "agentvm-pool/$id")
  sleep 20
  jq -n --argjson ms "$(($(cpu_ms "agentvm-pool/$id") - before))" \
    --argjson kib "$(awk '{sum += $2} END {print sum}' "$results/pool-memory.txt")" \
    '{cpu_ms_per_second: ($ms / 20), kib: $kib}' >"$results/pool.json"
  empty_pool
  say "$(jq -c . "$results/pool.json")"
}
