#!/bin/sh
# The script of the faulty files: none of them may ever run it.
exit 1
