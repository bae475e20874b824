# Bundles and configurations of the measurements. Sourced by bench/run.
# shellcheck shell=bash

write_configs() {
  printf '[vm]\nkernel = "%s/vmlinux"\ninitramfs = "%s/initramfs.cpio"\nvsock_backend = "%s"\n' \
    "$image" "$image" "$build/vmm/vsock/agentvm-vsock" >"$scratch/config.toml"
  cp "$scratch/config.toml" "$scratch/cold.toml"
  printf '[templates]\nenabled = false\n' >>"$scratch/cold.toml"
  printf '[templates]\nautomatic = false\ndirectory = "%s/templates"\n' "$scratch" >>"$scratch/config.toml"
  cp "$scratch/config.toml" "$scratch/pool.toml"
  printf '[pool]\nsize = 1\ndirectory = "%s/pool"\n' "$scratch/run" >>"$scratch/pool.toml"
  make_pool_full
}

# A busybox bundle in directory $1 that runs the other arguments.
make_bundle() {
  local bundle=$1 args
  shift
  mkdir -p "$bundle"/rootfs/{bin,proc,sys,dev,tmp,work}
  cp /bin/busybox "$bundle/rootfs/bin/"
  /bin/busybox --list | grep -v '^busybox$' | xargs -I{} ln -sf busybox "$bundle/rootfs/bin/{}"
  args=$(jq -cn '$ARGS.positional' --args -- "$@")
  (cd "$bundle" && rm -f config.json && agentvm spec &&
    jq --argjson args "$args" '.process.terminal=false | .root.readonly=false | .process.args=$args' \
      config.json >edited &&
    mv edited config.json)
}

# The host's program $2 with its libraries, into the root file system $1, in the place of busybox's.
add_program() {
  local program library
  program=$(command -v "$2") || die "$2 is missing: setup/install-packages bench"
  mkdir -p "$1/lib64" "$1/lib/x86_64-linux-gnu"
  rm -f "$1/bin/$2"
  cp -L "$program" "$1/bin/$2"
  while read -r library; do
    mkdir -p "$1$(dirname "$library")"
    cp -L "$library" "$1$library"
  done < <(ldd "$program" | grep -o '/[^ ]*')
}
