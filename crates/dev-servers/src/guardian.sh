# Waits until the process that owns a server has ended, then stops the server and removes its folder if it is not to be
# kept. However the owner ends, also by kill -9, the kernel closes the pipe on our stdin.
#
# $1: the signal that stops the server; $2: the folder to remove, or nothing.
# stdin: a line with the pid of the server whenever one is started, 0 when it has been stopped.

trap '' INT TERM HUP # Ctrl-C reaches the whole terminal; the owner decides when it is time
signal=$1
folder=$2
server=0
while read -r line; do server=$line; done

if [ "$server" -gt 0 ]; then
    # A paused server has paused children, which would stay for ever.
    children=$(cat "/proc/$server/task/$server/children" 2>/dev/null || pgrep -P "$server")
    kill -CONT "$server" $children
    kill -s "$signal" "$server"
    tries=0
    while kill -0 "$server" && [ "$tries" -lt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    # What is kept is never killed half-way: a slow checkpoint is better finished.
    [ -z "$folder" ] || kill -KILL "$server" $children
fi 2>/dev/null
[ -z "$folder" ] || rm -rf "$folder"
