#!/bin/sh
# The units in a real systemd: sh systemd.sh ENVIRONMENT UNITS FOLDER, as root.
#
# A manager of its own in namespaces of its own: it sees no process, no network and no unit of this machine, and writes
# into memory. ENVIRONMENT becomes /opt/routeq; UNITS has the *.service and routeq.env; FOLDER has jobs.py, and gets `ran`.
set -eu

if [ "${INSIDE:-}" = "" ]; then
    group=/sys/fs/cgroup
    [ -d $group/systemd ] && group=$group/systemd
    group=$group/routeq-test-$$
    mkdir "$group"
    trap 'find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true' EXIT
    INSIDE=yes sh -c 'echo $$ > "$0/cgroup.procs" && exec timeout --kill-after=5 60 unshare --mount --pid --net --uts --cgroup --fork --kill-child sh "$@"' \
        "$group" "$0" "$@"
    exit
fi

mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/systemd/inaccessible /run/manager /run/upper /run/work /run/units /run/opt/routeq
mount --bind "$1" /run/opt/routeq
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
mount --rbind /run/opt /opt
cp "$2"/*.service /run/units/
mkdir -p /etc/routeq
sed 's/^ROUTEQ_APP=.*/ROUTEQ_APP=jobs/' "$2/routeq.env" > /etc/routeq/routeq.env
chmod 600 /etc/routeq/routeq.env
ip link set lo up
grep -q ^routeq: /etc/passwd || echo 'routeq:x:987:987::/var/lib/routeq:/usr/sbin/nologin' >> /etc/passwd
grep -q ^routeq: /etc/group || echo 'routeq:x:987:' >> /etc/group
jobs=$(cat "$3/jobs.py")
results=$3
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/routeq
echo "$jobs" > /var/lib/routeq/jobs.py

# What the system's own manager makes at boot: places that hidden folders are replaced with, and targets.
cd /run/systemd/inaccessible
mkdir -m 000 dir
touch reg && chmod 000 reg
cd /
for target in default basic sysinit shutdown network-online; do
    printf '[Unit]\nDefaultDependencies=no\n' > /run/units/$target.target
done
mkdir /run/units/routeq-worker@.service.d
printf '[Service]\nWatchdogSec=2\n' > /run/units/routeq-worker@.service.d/soon.conf

unset PYTHONPATH PYTHONUNBUFFERED  # services get the environment of their manager
export XDG_RUNTIME_DIR=/run/manager XDG_CONFIG_HOME=/var/lib SYSTEMD_UNIT_PATH=/run/units HOME=/run
$(command -v systemd || echo /usr/lib/systemd/systemd) --user --unit=default.target &
manager=$!
until systemctl --user is-system-running > /dev/null 2>&1; do
    kill -0 $manager
    sleep 0.1
done
chmod 777 /run/manager/systemd/notify  # the system's manager lets every service speak to it

state() { systemctl --user show "$1" -p "$2" --value; }

for unit in routeq-broker routeq-scheduler routeq-worker@default; do
    systemctl --user start $unit  # returns with its READY=1
    echo "started $unit $(state $unit ActiveState) as $(ps -o user= -p "$(state $unit MainPID)")"
done
/opt/routeq/bin/routeq-mqtt dispatch Hangs
until [ -e /var/lib/routeq/ran ]; do
    kill -0 $manager
    sleep 0.2
done
echo "restarts $(state routeq-worker@default NRestarts)"
cp /var/lib/routeq/ran "$results/ran"
for unit in routeq-worker@default routeq-scheduler routeq-broker; do
    systemctl --user stop $unit
    echo "stopped $unit $(state $unit Result) $(state $unit ExecMainStatus)"
done
systemctl --user start routeq-up
echo "started routeq-up $(state routeq-up ActiveState)"
systemctl --user stop routeq-up
kill $manager
