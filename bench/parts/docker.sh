# `docker run --rm` against runc, with a dockerd of our own. Sourced by bench/run.
# shellcheck shell=bash

dockerd_pid=''

start_dockerd() {
  local wrapper=$scratch/agentvm-runtime config
  for config in config pool; do
    printf '#!/bin/sh\nexec %s --config %s "$@"\n' "$agentvm_binary" "$scratch/$config.toml" \
      >"$wrapper-$config"
    chmod +x "$wrapper-$config"
  done
  dockerd --data-root "$scratch/docker/data" --exec-root "$scratch/run/docker" \
    --pidfile "$scratch/docker.pid" --host "unix://$scratch/docker.sock" --bridge none \
    --iptables=false --ip6tables=false --add-runtime "agentvm=$wrapper-config" \
    --add-runtime "agentvm-pool=$wrapper-pool" >"$scratch/dockerd.log" 2>&1 &
  dockerd_pid=$!
  local i
  for ((i = 0; i < 300; i++)); do
    docker --host "unix://$scratch/docker.sock" version >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  die "dockerd did not start: $(tail -3 "$scratch/dockerd.log")"
}

stop_dockerd() {
  [[ $dockerd_pid ]] || return 0
  kill "$dockerd_pid" 2>/dev/null || true
  wait "$dockerd_pid" 2>/dev/null || true
  dockerd_pid=''
}

measure_docker() {
  if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
    say "docker.io is not installed: no figures of docker run"
    return 0
  fi
  say "docker run --rm"
  start_dockerd
  local docker="docker --host unix://$scratch/docker.sock"
  tar c -C "$scratch/true/rootfs" . | $docker import - busybox >/dev/null
  prepare=$scratch/pool-full runs=$(((runs + 2) / 3)) figure docker \
    'docker run, pool' "$docker run --rm --network none --runtime agentvm-pool busybox true" \
    'docker run, agentvm' "$docker run --rm --network none --runtime agentvm busybox true" \
    'docker run, runc' "$docker run --rm --network none busybox true"
  stop_dockerd
  empty_pool
}
