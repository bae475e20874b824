# What the gateway of an agent sandbox costs, between network namespaces, against the same without
# it. Sourced by bench/run.
# shellcheck shell=bash

readonly gateway_seconds=3

measure_gateway() {
  say 'the gateway of a sandbox'
  cmake --build "$build" --target bench-gateway >/dev/null
  "$build/bench/bench-gateway" "$gateway_seconds" >"$results/gateway.json"
}
