#!/bin/sh
# A device needs no library: one JSON object to $queue/<name> at QoS 1 is a job.
exec mosquitto_pub -h "${HOST:-127.0.0.1}" -p "${PORT:-1883}" -q 1 -t '$queue/sensors' \
  -m '{"job":"store_reading","data":{"sensor":"roof","celsius":21.5,"at":"2026-01-02T03:04:05+00:00"}}'
