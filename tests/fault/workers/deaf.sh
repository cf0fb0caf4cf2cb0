#!/bin/sh
# Ends by SIGKILL alone: a stop of it takes the whole kill_timeout.
trap '' INT TERM
exec sleep 1000000
