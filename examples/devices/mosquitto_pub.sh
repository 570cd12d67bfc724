#!/bin/sh
# A job from a shell: mosquitto_pub.sh json | msgpack. QoS 1: mosquitto_pub ends when the broker has it.
send() { mosquitto_pub -h "${HOST:-127.0.0.1}" -p "${PORT:-1883}" -q 1 -t '$queue/sensors' "$@"; }

case "${1:-json}" in
json)
  send -m '{"job":"store_reading","data":{"sensor":"roof","celsius":21.5}}'
  ;;
msgpack)
  # A map of 2: job, data. The data is a map of 2: a text and a 64-bit float. Octal, as POSIX has it.
  printf '\202\243job\255store_reading\244data\202\246sensor\244roof\247celsius\313\100\065\200\0\0\0\0\0' |
    send -s
  ;;
*)
  echo "usage: $0 [json|msgpack]" >&2
  exit 2
  ;;
esac
