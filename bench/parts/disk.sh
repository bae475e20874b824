# A container's own disk: against a bare QEMU of the same machine and kernel with the same kind of
# image, and what a start pays for one. Sourced by bench/run.
# shellcheck shell=bash

# Turn by turn, each several times: the machine's cores are shared.
readonly disk_turns=4 disk_rounds=4

# The bare boot with an image of the same template as /dev/vda and an /init that works on it.
make_bare_disk() {
  local tree=$scratch/bare-disk
  mkdir -p "$tree"/{bin,sbin,proc,sys,dev,mnt}
  cp /bin/busybox "$tree/bin/"
  cp "$build/bench/bench-disk-work" "$tree/bin/disk-work"
  cat >"$tree/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod "\$module"; done </etc/modules
insmod /lib/modules/virtio_blk.ko
mount -t ext4 -o discard,noinit_itable /dev/vda /mnt
disk-work rounds /mnt $disk_rounds
poweroff -f
INIT
  chmod +x "$tree/init"
  (cd "$tree" && find . -mindepth 1 -printf '%P\n' | cpio --quiet -o -H newc) >"$scratch/work.cpio"
  cat "$image/initramfs.cpio" "$scratch/work.cpio" >"$scratch/bare-disk.cpio"
  { sed "s#$scratch/bare.cpio#$scratch/bare-disk.cpio#; s# -serial none -monitor none##" "$scratch/bare-boot" |
      tr -d '\n' | sed 's/exec/\nexec/'
    printf ' %s' -serial stdio -monitor none \
      -blockdev "driver=file,node-name=d,filename=$scratch/bare.img,discard=unmap,detect-zeroes=unmap" \
      -device virtio-blk-pci,drive=d; echo; } >"$scratch/bare-disk-boot"
  chmod +x "$scratch/bare-disk-boot"
}

# The median of column $2 of the rounds in file $1: milliseconds.
disk_median() {
  tr -d '\r' <"$1" | awk -v column="$2" '$1 == "work" && NF == 4 {print $(column + 1)}' | sort -n |
    awk '{all[NR] = $1} END {printf "%.1f", all[int((NR + 1) / 2)] / 1000}'
}

measure_disk() {
  say "a container's own disk: start with a Docker that nobody uses; sequential and random work"
  local docker='.annotations={"io.agentvm.docker":"true","io.agentvm.disk_mib":"4096"}' name
  printf '[disk]\ndirectory = "%s/disks"\n[security]\nallowed_annotations = ["io.agentvm.disk_mib"]\n' \
    "$scratch" >>"$scratch/config.toml"
  for name in true sleeper; do
    cp -a "$scratch/$name" "$scratch/disk-$name"
    mkdir -p "$scratch/disk-$name/rootfs/usr/bin"
    ln -s /bin/true "$scratch/disk-$name/rootfs/usr/bin/dockerd"
    jq "$docker" "$scratch/$name/config.json" >"$scratch/disk-$name/config.json"
  done
  figure disk-start 'without a disk' "$restoring run --bundle $scratch/true bench" \
    'with a Docker, unused' "$restoring run --bundle $scratch/disk-true bench"
  cp "$build/bench/bench-disk-work" "$scratch/disk-sleeper/rootfs/bin/disk-work"
  make_bare_disk
  local turn
  for ((turn = 0; turn < disk_turns; turn++)); do
    agentvm run --detach --bundle "$scratch/disk-sleeper" disk
    agentvm exec disk disk-work rounds /var/lib/docker "$disk_rounds" >>"$results/disk-agentvm.txt"
    agentvm delete --force disk
    cp --sparse=always "$scratch"/disks/template-4096.ext4 "$scratch/bare.img"
    "$scratch/bare-disk-boot" >>"$results/disk-bare.txt" </dev/null
  done
  show_disk
}

readonly -a disk_work=('write 128 MiB and sync' 'read 128 MiB past the cache'
  '4000 reads and writes of 4 KiB at random places (3 : 1), and sync')

show_disk() {
  local i ours bare
  for i in 0 1 2; do
    ours=$(disk_median "$results/disk-agentvm.txt" "$((i + 1))")
    bare=$(disk_median "$results/disk-bare.txt" "$((i + 1))")
    say "${disk_work[i]}: $ours ms, bare QEMU $bare ms: $(ratio "$bare" "$ours") times as fast"
  done
}
