# Makes a small Debian with RabbitMQ in a directory, from the distribution's packages alone.
#
# usage: sh -c THIS rabbitmq4 DIR SUITE MIRROR

set -eu
root=$1 suite=$2 mirror=$3

# Beside its place until it is whole: what an interrupted run left is no such directory.
new=$root.new
rm -rf --one-file-system "$new"
debootstrap --variant=minbase "$suite" "$new" "$mirror"

# Nothing starts by itself in there.
printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
chmod 755 "$new/usr/sbin/policy-rc.d"

# It fetches the way this system does, and knows localhost.
apt-config dump | grep -E '^Acquire::(http|https)::' >"$new/etc/apt/apt.conf.d/90-fetch" || true
cp /etc/resolv.conf /etc/hosts "$new/etc/"

export DEBIAN_FRONTEND=noninteractive
chroot "$new" apt-get -q update
chroot "$new" apt-get -q -y install --no-install-recommends rabbitmq-server
chroot "$new" apt-get -q clean
mv -T "$new" "$root"
