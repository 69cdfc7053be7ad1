#!/usr/bin/env bash
# usage: workout.sh SOURCE DIR [SECONDS]
#
# Ordinary programs at work in DIR, each of which checks itself: a source tree (SOURCE) goes in and out through tar, git makes and checks
# a repository, SQLite commits transactions, fio writes and verifies, and stress-ng's filesystem stressors run for SECONDS (30).
# Needs: tar git sqlite3 fio stress-ng. Prints a line per step; ends with 0 when all was right.
set -euo pipefail
source=$(realpath "$1")
dir=$(realpath "$2")
seconds=${3:-30}
for program in tar git sqlite3 fio stress-ng; do
  command -v "$program" >/dev/null || { echo "workout: $program is missing: apt-get install tar git sqlite3 fio stress-ng" >&2; exit 3; }
done
aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT
work=$(mktemp -d "$dir/workout-XXXXXX")
cd "$work"
step() { echo "workout: $*"; }
same() { [ "$1" = "$2" ] || { echo "workout: $3: \"$1\", not \"$2\"" >&2; exit 1; }; }

step "tar: $source in, out, and the same again"
mkdir tree "$aside/tree"
tar -C "$source" -cf - . | tar -xf - -C tree
tar -C tree -cf "$aside/out.tar" .
tar -C "$aside/tree" -xf "$aside/out.tar"
diff -r "$aside/tree" "$source"
diff -r tree "$source"

step 'git: init, add, commit, gc, fsck, clone'
as_somebody=(-c user.name=workout -c user.email=workout@localhost)
mkdir repository
cp -r tree/. repository
cd repository
git init -q
git add .
git "${as_somebody[@]}" commit -q -m one
for file in $(git ls-files | head -20); do echo 'another line' >>"$file"; done
git "${as_somebody[@]}" commit -q -a -m two
git gc -q
git fsck --full --strict --no-progress
same "$(git status --porcelain)" '' 'git status'
cd ..
git clone -q repository clone
same "$(git -C clone rev-parse HEAD)" "$(git -C repository rev-parse HEAD)" 'the head of the clone'

step 'sqlite3: 40 transactions, and its integrity check'
{
  echo 'create table t (a integer primary key, b text); create index tb on t (b);'
  for _ in $(seq 40); do
    echo 'begin; with recursive c(x) as (select 1 union all select x + 1 from c where x < 100) insert into t (b) select hex(randomblob(40)) from c; commit;'
  done
  echo 'begin; delete from t where a % 3 = 0; rollback;'
} | sqlite3 data.db
same "$(sqlite3 data.db 'select count(*) from t; pragma integrity_check;' | tr '\n' ' ')" '4000 ok ' 'sqlite3'

step 'fio: random and sequential writes, every block verified by CRC-32C'
fio --name=random --directory=. --size=16m --rw=randwrite --bs=4k --verify=crc32c --verify_fatal=1 --do_verify=1 \
  --ioengine=psync --eta=never --fsync=64 --end_fsync=1 --output="$aside/fio"
fio --name=sequential --directory=. --size=32m --rw=write --bs=256k --verify=crc32c --verify_fatal=1 --do_verify=1 \
  --ioengine=psync --eta=never --end_fsync=1 --output="$aside/fio"
rm -f random.0.0 sequential.0.0

step "stress-ng: filesystem stressors for $seconds s"
mkdir stress
stress-ng --temp-path stress --timeout "${seconds}s" --verify --metrics-brief --no-rand-seed \
  --hdd 1 --hdd-bytes 16m --dentry 1 --dentries 256 --dir 1 --dir-dirs 256 --link 1 --symlink 1 --rename 1 --fstat 1 --utime 1 \
  --chmod 1 --chown 1 --open 1 --seek 1 --seek-size 4m --filename 1 --getdent 1 --mknod 1
cd "$dir"
rm -rf "$work"
step 'all was right'
