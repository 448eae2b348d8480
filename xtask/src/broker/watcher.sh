# The parent of a node's two processes. It takes orders on its input, one a line, and answers each
# with a line. Its input ends with the process that gives the orders, however that process ends;
# then the node is killed, and its directory removed where that was asked for.
#
# usage: sh -c THIS watcher SERVER EPMD EPMD_PORT DIR keep|remove [WORDS BEFORE EACH PROGRAM]

server=$1 epmd=$2 epmd_port=$3 dir=$4 afterwards=$5
shift 5
server_pid='' epmd_pid=''

# The two are this shell's own children: until it has waited for them nobody else can have their
# process ids.
end() {
    if [ -n "$server_pid" ]; then
        kill "-$1" "$server_pid"
        wait "$server_pid"
        server_pid=''
    fi
    if [ -n "$epmd_pid" ]; then
        kill -KILL "$epmd_pid"
        wait "$epmd_pid"
        epmd_pid=''
    fi
}

leave() {
    trap '' TERM
    end KILL
    if [ "$afterwards" = remove ]; then rm -rf "$dir"; fi
    exit 0
}

trap '' INT HUP
trap leave TERM

while read -r order; do
    case $order in
    epmd)
        "$@" "$epmd" -address 127.0.0.1 -port "$epmd_port" </dev/null >/dev/null 2>&1 &
        epmd_pid=$!
        echo "$epmd_pid"
        ;;
    server)
        "$@" "$server" </dev/null >>"$dir/log/output.log" 2>&1 &
        server_pid=$!
        echo "$server_pid"
        ;;
    stop) end TERM && echo ended ;;
    kill) end KILL && echo ended ;;
    esac
done
leave
