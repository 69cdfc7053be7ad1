#!/usr/bin/env bash
# usage: nfs-programs.sh ME OTHER SECONDS SOURCE STEP...
#
# Runs in the kernel of an NFS client, beside another one at another node: programs that check themselves, and that lock, in $MNT/ME.
# $OUT is a folder that both share by another way than NFS, where they wait for each other; sysv-ipc.so is there.
#
# Prints "RESULT STEP SECONDS ok|FAILED" for each STEP, and what a program said that failed. Ends with 0 unless it cannot begin.
set -u
me=$1 other=$2 seconds=$3 source=$4
shift 4
rows=60
work=$MNT/$me
mkdir -p "$work"

# Both have come to this point.
meet() {
  touch "$OUT/$me.$1"
  for ((i = 0; i < 1200; i++)); do
    [ -e "$OUT/$other.$1" ] && return
    sleep 0.5
  done
  echo "$other has not come to $1"
  return 1
}

same() { [ "$1" = "$2" ] || { echo "$3: \"$1\", and has to be \"$2\""; return 1; }; }

# Its clients open, write, rename and remove as a file server's would; it says which of them failed, and goes on.
step_dbench() {
  mkdir "$work/dbench"
  LD_PRELOAD=$OUT/sysv-ipc.so dbench -c /usr/share/dbench/client.txt -D "$work/dbench" -t "$seconds" 4 >"$TMPDIR/dbench" 2>&1 || { tail -5 "$TMPDIR/dbench"; return 1; }
  grep -iE 'fail|error|abort' "$TMPDIR/dbench" && return 1
  grep '^Throughput' "$TMPDIR/dbench"
}

# Locks of whole files (flock), of bytes by process (lockf, locka: fcntl) and by open file (lockofd), that processes take from each other.
stress() {
  mkdir "$work/$1"
  stress-ng --temp-path "$work/$1" --timeout "${seconds}s" --verify --metrics-brief --no-rand-seed "--$1" 3 "${@:2}"
}
step_flock() { stress flock; }
step_lockf() { stress lockf; }
step_lockf-nonblock() { mkdir "$work/nb" && stress-ng --temp-path "$work/nb" --timeout "${seconds}s" --verify --metrics-brief --lockf 3 --lockf-nonblock; }
step_locka() { stress locka; }
step_lockofd() { stress lockofd; }

# Every block is written with its checksum; the other one then verifies them through its own node.
verified() { # DIR, what to do
  fio --directory="$1" --name=random --filename=random --size=12m --rw=randwrite --bs=4k --fsync=64 --verify=crc32c --verify_fatal=1 --end_fsync=1 \
    --ioengine=psync --fallocate=none --eta=never --output="$TMPDIR/fio" "${@:2}" &&
    fio --directory="$1" --name=sequential --filename=sequential --size=24m --rw=write --bs=256k --verify=crc32c --verify_fatal=1 --end_fsync=1 \
      --ioengine=psync --fallocate=none --eta=never --output="$TMPDIR/fio" "${@:2}"
}
step_fio() { verified "$work" --do_verify=1 || { cat "$TMPDIR/fio"; return 1; }; }
step_fio-across() {
  meet written || return
  verified "$MNT/$other" --verify_only=1 || { cat "$TMPDIR/fio"; return 1; }
}

# Both add rows to one database at once, in a rollback journal; each row is the next of the highest one.
step_sqlite() {
  local base=$MNT/shared.db
  if [ "$me" \< "$other" ]; then sqlite3 "$base" 'create table t (n integer unique, client text)' || return; fi
  meet created || return
  {
    echo '.bail on'
    echo '.timeout 300000'
    for ((i = 0; i < rows; i++)); do
      echo "begin immediate; insert into t select coalesce(max(n), 0) + 1, '$me' from t; commit;"
    done
  } | sqlite3 "$base" || return
  meet inserted || return
  same "$(sqlite3 -cmd '.timeout 300000' "$base" "select count(*), max(n), sum(client = '$me') from t; pragma journal_mode; pragma integrity_check;" | tr '\n' ' ')" \
    "$((2 * rows))|$((2 * rows))|$rows delete ok " sqlite3
}

step_git() {
  local as=(-c user.name=e2e -c user.email=e2e@localhost)
  cp -r "$source" "$work/origin" && cd "$work/origin" && git init -q && git add . && git "${as[@]}" commit -q -m one || return
  for file in $(git ls-files | head -20); do echo 'another line' >>"$file"; done
  git "${as[@]}" commit -q -a -m two && git clone -q --no-hardlinks "$work/origin" "$work/clone" && cd "$work/clone" || return
  git gc -q --prune=now && git fsck --full --strict --no-progress || return
  same "$(git status --porcelain)" '' 'git status' && same "$(git rev-parse HEAD)" "$(git -C ../origin rev-parse HEAD)" 'the head of the clone'
}
# What the other one has committed comes through its node.
step_git-across() {
  meet committed || return
  git clone -q "$MNT/$other/origin" "$work/theirs" && git -C "$work/theirs" fsck --full --strict --no-progress &&
    same "$(git -C "$work/theirs" rev-list --count HEAD)" 2 'commits of the other'
}

meet booted || exit 3
for step in "$@"; do
  began=$SECONDS
  if (step_"$step") >"$TMPDIR/said" 2>&1; then verdict=ok; else verdict=FAILED; fi
  [ $verdict = ok ] || tail -40 "$TMPDIR/said"
  echo "RESULT $step $((SECONDS - began)) $verdict"
done
