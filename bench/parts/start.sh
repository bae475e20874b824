# From a command to the end of `true`. Sourced by bench/run.
# shellcheck shell=bash

# The command line of a container's own QEMU, without what ties it to us: same machine, kernel and
# parameters; the same initramfs with a trivial /init.
make_bare_boot() {
  local qemu skip='' argument i
  local -a words=() bare=()
  $booting create --bundle "$scratch/sleeper" probe
  qemu=$(pgrep --newest --full "qemu-system-x86_64.*$scratch" || pgrep --newest qemu-system)
  mapfile -d '' -t words <"/proc/$qemu/cmdline"
  agentvm delete --force probe
  mkdir "$scratch/init"
  cp "$build/bench/bench-trivial-init" "$scratch/init/init"
  (cd "$scratch/init" && echo init | cpio --quiet -o -H newc) >"$scratch/init.cpio"
  cat "$image/initramfs.cpio" "$scratch/init.cpio" >"$scratch/bare.cpio"
  for ((i = 0; i < ${#words[@]}; i++)); do
    argument=${words[i]}
    if [[ $skip ]]; then skip=''; continue; fi
    case $argument in
      -chardev | -mon | -serial | -qmp) skip=yes ;;
      -device)
        if [[ ${words[i + 1]} == vhost-user* ]]; then skip=yes; else bare+=("$argument"); fi ;;
      -kernel) bare+=(-kernel "$image/vmlinux"); skip=yes ;;
      -initrd) bare+=(-initrd "$scratch/bare.cpio"); skip=yes ;;
      *) bare+=("$argument") ;;
    esac
  done
  { printf '#!/bin/sh\nexec'; printf " '%s'" "${bare[@]}" -serial none -monitor none; echo; } \
    >"$scratch/bare-boot"
  chmod +x "$scratch/bare-boot"
}

measure_start() {
  say "start: agentvm from the pool, from a template and booting, a bare boot of the same machine, peers"
  local -a peers=()
  if command -v runsc >/dev/null; then
    peers=('runsc run' "runsc --root $scratch/runsc --network none run --bundle $scratch/true bench")
  fi
  prepare=$scratch/pool-full figure start \
    'agentvm run, pool' "$pooled run --bundle $scratch/true bench" \
    'agentvm run, template' "$restoring run --bundle $scratch/true bench" \
    'agentvm run, boot' "$booting run --bundle $scratch/true bench" \
    'bare QEMU' "$scratch/bare-boot" \
    'runc run' "runc --root $scratch/runc run --bundle $scratch/true bench" "${peers[@]}"
  agentvm run --timings --bundle "$scratch/true" bench 2>"$results/timings.txt"
  "$scratch/pool-full"
  $pooled run --timings --bundle "$scratch/true" bench 2>"$results/timings-pool.txt"
  empty_pool
}

# A program $1 that ends with the first byte of a container that the command line $2 has created and
# started. The container stays until the next one.
make_first_byte() {
  cat >"$1" <<FIRST
#!/bin/bash
exec 3<>'$scratch/out'
$2 create --bundle '$scratch/talker' first >&3 2>/dev/null </dev/null
$2 start first
read -r -n 1 <&3
FIRST
  chmod +x "$1"
}

measure_first_byte() {
  say "create and start to the first byte of output"
  mkfifo "$scratch/out"
  make_first_byte "$scratch/first-pool" "$pooled"
  make_first_byte "$scratch/first-template" "$restoring"
  make_first_byte "$scratch/first-runc" "runc --root $scratch/runc"
  printf '#!/bin/sh\n%s delete --force first\nrunc --root %s delete --force first\nexec %s\n' \
    "$restoring" "$scratch/runc" "$scratch/pool-full" >"$scratch/no-first"
  chmod +x "$scratch/no-first"
  prepare=$scratch/no-first figure first \
    'agentvm, pool' "$scratch/first-pool" \
    'agentvm, template' "$scratch/first-template" \
    'runc' "$scratch/first-runc"
  "$scratch/no-first"
  empty_pool
}

# $1 `run`s of `true` at once; the time of all, three times.
measure_crowd() {
  local count=$1
  cat >"$scratch/crowd-$count" <<CROWD
#!/bin/bash
for ((i = 0; i < $count; i++)); do
  $restoring run --bundle '$scratch/true' bench\$i &
done
wait
CROWD
  chmod +x "$scratch/crowd-$count"
  say "$count at once"
  hyperfine --shell=none --runs 3 --export-json "$results/crowd-$count.json" \
    --command-name "$count at once" "$scratch/crowd-$count" >&2
}
