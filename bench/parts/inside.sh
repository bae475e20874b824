# In a running container: exec, and a stream of output. Sourced by bench/run.
# shellcheck shell=bash

measure_exec() {
  say "exec in a running container"
  agentvm run --detach --bundle "$scratch/sleeper" exec
  figure exec 'agentvm exec' "$restoring exec exec true"
  agentvm delete --force exec
}

readonly stream_mib=256

measure_stream() {
  say "standard output into a pipe, and socat over the same vsock"
  local socket=$state/stream/vsock/vsock.sock_9999
  make_bundle "$scratch/stream" sleep 100000
  add_program "$scratch/stream/rootfs" socat
  agentvm run --detach --bundle "$scratch/stream" stream
  cat >"$scratch/stream-exec" <<EXEC
#!/bin/bash
$restoring exec stream dd if=/dev/zero bs=64k count=$((stream_mib * 16)) 2>/dev/null | cat >/dev/null
EXEC
  cat >"$scratch/stream-socat" <<SOCAT
#!/bin/bash
rm -f '$socket'
socat -b 262144 -u UNIX-LISTEN:'$socket',mode=0777 STDOUT | cat >/dev/null &
until [ -S '$socket' ]; do :; done
$restoring exec stream socat -b 262144 -u OPEN:/dev/zero,readbytes=$((stream_mib << 20)) VSOCK-CONNECT:2:9999
wait
rm -f '$socket'
SOCAT
  chmod +x "$scratch"/stream-*
  figure stream 'agentvm exec dd' "$scratch/stream-exec" 'socat over vsock' "$scratch/stream-socat"
  agentvm delete --force stream
}

# MB/s of a command of the stream figure.
stream_rate() { jq -n "$stream_mib*1.048576/$(median stream "$1")|round"; }
