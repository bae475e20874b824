# Work on files in the container's root, which virtiofs brings: with our options of virtiofsd, with
# its own defaults, and under runc. Sourced by bench/run.
# shellcheck shell=bash

# virtiofsd holds a descriptor for every file that the guest remembers: on a host that does not let us
# raise their number there are fewer files.
tree_files=20000
if (($(ulimit -Hn) < 30000)) && ! (ulimit -Hn 100000) 2>/dev/null; then tree_files=8000; fi
readonly tree_files

# virtiofsd as somebody would start it who gives no options about caches.
write_default_virtiofsd() {
  local found
  for found in /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd; do [[ ! -x $found ]] || break; done
  cat >"$scratch/virtiofsd" <<WRAPPER
#!/bin/bash
# As Debian 12's says of itself:  -o source=PATH  
words=()
for word in "\$@"; do
  word=\${word/cache=always,timeout=1,/cache=auto,}
  words+=("\$word")
done
exec $found "\${words[@]}"
WRAPPER
  chmod +x "$scratch/virtiofsd"
  sed "s#^\[vm\]#[vm]\nvirtiofsd = \"$scratch/virtiofsd\"#" "$scratch/config.toml" >"$scratch/default.toml"
}

# A work tree of $tree_files files and a tar of 500 of them.
make_work() {
  local work=$1/rootfs/work
  mkdir -p "$work/tree"
  (
    cd "$work/tree"
    for ((d = 0; d < tree_files / 100; d++)); do
      mkdir "d$d"
      for ((f = 0; f < 100; f++)); do echo "file $d $f of some small text" >"d$d/f$f"; done
    done
    git init --quiet .
    git -c core.fileMode=false add --all
    git -c user.name=bench -c user.email=bench@localhost commit --quiet --message=all
    tar cf ../some.tar --exclude=.git d[0-4]
  )
}

# name, command in the container; each leaves things as it found them.
readonly -a file_work=(
  "git status, $tree_files files" 'cd /work/tree && git -c safe.directory=* status --porcelain'
  'untar 500 files and remove them' 'mkdir /work/out && tar xf /work/some.tar -C /work/out && rm -r /work/out'
  "find and stat $tree_files files" 'find /work/tree -type f -size +1000 | wc -l'
  'write 256 MiB and sync' 'dd if=/dev/zero of=/work/big bs=1M count=256 conv=fsync 2>/dev/null && rm /work/big'
  '1000 reads and writes of 4 KiB at random places (3 : 1), and sync' 'disk-work random /work/read 1000'
  'read 256 MiB that the guest has not seen' 'dd if=/work/read bs=1M of=/dev/null iflag=direct 2>/dev/null || dd if=/work/read bs=1M of=/dev/null 2>/dev/null'
)

measure_files() {
  say "work on files: our options of virtiofsd, its defaults, runc"
  local i
  write_default_virtiofsd
  make_bundle "$scratch/files" sleep 100000
  add_program "$scratch/files/rootfs" git
  cp "$build/bench/bench-disk-work" "$scratch/files/rootfs/bin/disk-work"
  make_work "$scratch/files"
  dd if=/dev/urandom of="$scratch/files/rootfs/work/read" bs=1M count=256 2>/dev/null
  agentvm run --detach --bundle "$scratch/files" files
  $default_files run --detach --bundle "$scratch/files" files-default
  runc --root "$scratch/runc" run --detach --bundle "$scratch/files" files >/dev/null 2>&1 </dev/null
  for ((i = 0; i < ${#file_work[@]}; i += 2)); do
    runs=$(((runs + 2) / 3)) figure "files-$((i / 2))" \
      agentvm "$restoring exec files sh -c '${file_work[i + 1]}'" \
      'virtiofsd defaults' "$default_files exec files-default sh -c '${file_work[i + 1]}'" \
      runc "runc --root $scratch/runc exec files sh -c '${file_work[i + 1]}'"
  done
  agentvm delete --force files
  agentvm delete --force files-default
  runc --root "$scratch/runc" delete --force files
}
