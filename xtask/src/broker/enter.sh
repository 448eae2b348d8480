# Runs a program in another root. The mounts are in a namespace of their own, which ends with the
# program: nothing is left to unmount. Erlang reads /proc for its memory, and what is beside the
# node's directory has the same name inside and outside, so that a path means the same to both.
#
# usage: unshare --mount sh -c THIS enter ROOT DIR PROGRAM ARGS

set -e
root=$1 beside=${2%/*}
shift 2
mkdir -p "$root$beside"
mount -t proc proc "$root/proc"
mount --bind "$beside" "$root$beside"
exec chroot "$root" "$@"
