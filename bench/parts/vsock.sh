# A stream out of the guest over vsock through our backend and through the archive's
# vhost-device-vsock: the same program in the same guest kernel. Sourced by bench/run.
# shellcheck shell=bash

readonly vsock_mib=128 vsock_port=9997
vsock_peer_pid='' vsock_machine_pid=''

vsock_down() {
  local pid
  for pid in $vsock_machine_pid $vsock_peer_pid; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  vsock_machine_pid='' vsock_peer_pid=''
}

# What sends in both guests, over and over, to whoever listens.
readonly vsock_sender="while true; do socat -b 262144 -u OPEN:/dev/zero,readbytes=$((vsock_mib << 20)) \
VSOCK-CONNECT:2:$vsock_port 2>/dev/null || sleep 0.05; done"

# The bare boot's machine with the peer's device and an /init that sends on it.
start_vsock_peer() {
  local peer tree=$scratch/vsock-init
  peer=$("$root/tests/e2e/fetch-debian13" "$build/fetched" /usr/bin/vhost-device-vsock \
    vhost-device-vsock sid)
  mkdir -p "$tree/bin" "$tree/proc" "$tree/sys" "$tree/dev"
  cp /bin/busybox "$tree/bin/"
  ln -s busybox "$tree/bin/sleep"
  add_program "$tree" socat
  cat >"$tree/init" <<INIT
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc proc /proc
\$b mount -t devtmpfs dev /dev
for device in virtio_pci vmw_vsock_virtio_transport; do
  for module in \$(\$b sed -n "s/^\$device://p" /lib/modules/agentvm.dep) \$device; do
    \$b grep -q "^\$module " /proc/modules || \$b insmod /lib/modules/\$module.ko
  done
done
export PATH=/bin
$vsock_sender
INIT
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio --quiet -o -H newc) >"$scratch/vsock-init.cpio"
  cat "$image/initramfs.cpio" "$scratch/vsock-init.cpio" >"$scratch/vsock.cpio"
  sed "s#'$scratch/bare.cpio'#'$scratch/vsock.cpio' -chardev socket,id=bench,path=$scratch/vsock-peer -device vhost-user-vsock-pci,chardev=bench,romfile=#" \
    "$scratch/bare-boot" >"$scratch/bare-vsock"
  chmod +x "$scratch/bare-vsock"
  "$peer" --guest-cid=3 --socket="$scratch/vsock-peer" --uds-path="$scratch/vsock-host" \
    >"$scratch/vsock-peer.log" 2>&1 &
  vsock_peer_pid=$!
  until [[ -S $scratch/vsock-peer ]]; do
    kill -0 "$vsock_peer_pid" || die "vhost-device-vsock ends: $(<"$scratch/vsock-peer.log")"
  done
  "$scratch/bare-vsock" >"$scratch/bare-vsock.log" 2>&1 &
  vsock_machine_pid=$!
}

# MB/s of one stream to the socket $1, from its first byte to its end.
vsock_rate() {
  rm -f "$1"
  timeout 60 socat -b 262144 -u "UNIX-LISTEN:$1,mode=0777" STDOUT | {
    local begun count
    head -c 1 >/dev/null
    begun=${EPOCHREALTIME/./}
    count=$(wc -c)
    ((count + 1 == vsock_mib << 20)) || die "a stream over vsock has $count bytes"
    jq -n "$count / (${EPOCHREALTIME/./} - $begun)"
  }
  rm -f "$1"
}

measure_vsock() {
  local i
  say "a stream over vsock, and the same through vhost-device-vsock"
  make_bundle "$scratch/vsock" sh -c "$vsock_sender"
  add_program "$scratch/vsock/rootfs" socat
  agentvm run --detach --bundle "$scratch/vsock" vsock >/dev/null
  start_vsock_peer
  : >"$scratch/vsock-ours"
  : >"$scratch/vsock-theirs"
  vsock_rate "$scratch/vsock-host_$vsock_port" >/dev/null # both have booted
  for ((i = 0; i < (runs + 2) / 3; i++)); do
    vsock_rate "$state/vsock/vsock/vsock.sock_$vsock_port" >>"$scratch/vsock-ours"
    vsock_rate "$scratch/vsock-host_$vsock_port" >>"$scratch/vsock-theirs"
  done
  pair_figure vsock "$scratch/vsock-ours" peer "$scratch/vsock-theirs"
  agentvm delete --force vsock
  vsock_down
}
