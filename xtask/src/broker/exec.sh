# Runs a program in the foreground. The input of this shell is the pipe that keeps a node alive:
# the program inherits it as well, so the node ends when the last of the two has ended.
#
# usage: sh -c THIS exec PROGRAM ARGS

exec 9>&0 </dev/null

# The terminal sends Ctrl-C to the program too, and the program decides. Other signals reach only
# this shell and are passed on. A trap ends `wait` early, so it is repeated.
trap : INT
trap 'kill -TERM "$pid"' TERM HUP

"$@" &
pid=$!
wait "$pid"
code=$?
while kill -0 "$pid" 2>/dev/null; do
    wait "$pid"
    code=$?
done
exit "$code"
