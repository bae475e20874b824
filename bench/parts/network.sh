# TCP both ways and round trips between a namespace of the host and the guest, against a bare QEMU of
# the same machine and kernel whose tap ends in the namespace itself: without our veth, redirects and
# jail. Sourced by bench/run.
# shellcheck shell=bash

readonly network_seconds=4
bare_network_pid=''

network_down() {
  local name
  if [[ $bare_network_pid ]]; then
    kill "$bare_network_pid" 2>/dev/null || true
    wait "$bare_network_pid" 2>/dev/null || true
    bare_network_pid=''
  fi
  for name in agentvm-bench-in agentvm-bench-out agentvm-bench-bare; do
    [[ ! -e /run/netns/$name ]] || ip netns delete "$name"
  done
}

# The host's sides: a veth pair as an engine makes it, and a tap.
network_up() {
  local name
  for name in in out bare; do
    ip netns add "agentvm-bench-$name"
    ip -n "agentvm-bench-$name" link set lo up
  done
  ip link add abench-in netns agentvm-bench-in type veth peer name abench-out netns agentvm-bench-out
  ip -n agentvm-bench-in link set abench-in name eth0
  ip -n agentvm-bench-in address add 10.78.0.2/24 dev eth0
  ip -n agentvm-bench-in link set eth0 up
  ip -n agentvm-bench-out address add 10.78.0.1/24 dev abench-out
  ip -n agentvm-bench-out link set abench-out up
  ip -n agentvm-bench-bare tuntap add dev tap0 mode tap vnet_hdr
  ip -n agentvm-bench-bare address add 10.78.0.1/24 dev tap0
  ip -n agentvm-bench-bare link set tap0 up
}

# The bare boot's machine with a network card and an /init that serves on it.
start_bare_network() {
  local tree=$scratch/network-init
  mkdir -p "$tree/bin" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/tmp"
  cp /bin/busybox "$tree/bin/"
  add_program "$tree" iperf3
  cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for device in virtio_pci virtio_net; do
  for module in $($b sed -n "s/^$device://p" /lib/modules/agentvm.dep) $device; do
    $b grep -q "^$module " /proc/modules || $b insmod /lib/modules/$module.ko
  done
done
$b ifconfig lo 127.0.0.1 up
$b ifconfig eth0 10.78.0.2 netmask 255.255.255.0 up
exec /bin/iperf3 -s >/dev/null
INIT
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio --quiet -o -H newc) >"$scratch/network-init.cpio"
  cat "$image/initramfs.cpio" "$scratch/network-init.cpio" >"$scratch/network.cpio"
  sed "s#'$scratch/bare.cpio'#'$scratch/network.cpio' -netdev tap,id=bench,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=bench,romfile=#" \
    "$scratch/bare-boot" >"$scratch/bare-network"
  chmod +x "$scratch/bare-network"
  ip netns exec agentvm-bench-bare "$scratch/bare-network" >"$scratch/bare-network.log" 2>&1 &
  bare_network_pid=$!
}

# $1: namespace whose peer answers on iperf3's port soon.
await_network() {
  local i
  for ((i = 0; i < 300; i++)); do
    ip netns exec "$1" iperf3 --client 10.78.0.2 --time 1 --connect-timeout 1000 >/dev/null 2>&1 &&
      return 0
    sleep 0.1
  done
  die "no guest answers in $1"
}

# Bits per second of a TCP stream from namespace $1 to its guest; with --reverse from it.
tcp_rate() {
  local name=$1
  shift
  ip netns exec "$name" iperf3 --client 10.78.0.2 --time "$network_seconds" --json "$@" |
    jq '.end.sum_received.bits_per_second'
}

# Milliseconds of a round trip from namespace $1: the median of 200.
round_trip() {
  ip netns exec "$1" ping -c 200 -i 0.01 -q -n 10.78.0.2 >/dev/null # both sides awake
  ip netns exec "$1" ping -c 200 -i 0.01 -n 10.78.0.2 |
    sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n | sed -n 100p
}

# The median of what the words of $2 and the following print in namespaces of both, turn by turn.
network_figure() {
  local name=$1 i
  shift
  : >"$scratch/network-ours"
  : >"$scratch/network-bare"
  for ((i = 0; i < (runs + 2) / 3; i++)); do
    "$1" agentvm-bench-out "${@:2}" >>"$scratch/network-ours"
    "$1" agentvm-bench-bare "${@:2}" >>"$scratch/network-bare"
  done
  pair_figure "network-$name" "$scratch/network-ours" bare "$scratch/network-bare"
}

measure_network() {
  say "TCP and round trips against a bare QEMU with a tap"
  network_up
  make_bundle "$scratch/network" iperf3 -s
  add_program "$scratch/network/rootfs" iperf3
  jq '.linux.namespaces |= map(if .type == "network" then .path = "/run/netns/agentvm-bench-in" else . end)' \
    "$scratch/network/config.json" >"$scratch/network/edited"
  mv "$scratch/network/edited" "$scratch/network/config.json"
  agentvm run --detach --bundle "$scratch/network" network >/dev/null
  start_bare_network
  await_network agentvm-bench-out
  await_network agentvm-bench-bare
  network_figure to_guest tcp_rate
  network_figure from_guest tcp_rate --reverse
  network_figure round_trip round_trip
  agentvm delete --force network
  network_down
}
