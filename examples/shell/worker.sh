#!/bin/sh
# A worker that serves nobody: it does a piece of work every INTERVAL seconds.
trap 'echo "stopping after job $job"; exit 0' INT TERM

job=0
while :; do
    job=$((job + 1))
    echo "job $job done"
    # The signal goes to the whole process tree, so a stop does not wait for this sleep.
    sleep "${INTERVAL:-1}"
done
