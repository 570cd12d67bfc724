"""A reading each minute becomes a job: MicroPython with umqtt.simple, QoS 1.

config.py on the device: NETWORK, PASSWORD, BROKER, PORT, DEVICE.
"""

import json
import time

import config
from umqtt.simple import MQTTClient

try:
    import network  # a board; MicroPython on Linux has none
except ImportError:
    network = None


def join():
    if network is None:
        return
    wifi = network.WLAN(network.STA_IF)
    wifi.active(True)
    if not wifi.isconnected():
        wifi.connect(config.NETWORK, config.PASSWORD)
    while not wifi.isconnected():
        time.sleep(1)


def celsius():
    return 21.5  # read your sensor here


def send(client, reading):
    """Return when the broker has acknowledged the job."""
    data = {"sensor": config.DEVICE, "celsius": reading}
    job = {"job": "store_reading", "data": data}
    client.publish(b"$queue/sensors", json.dumps(job).encode(), qos=1)


def main(every=60, readings=-1):
    """Send that many readings, for ever if negative; repeat each until it is acknowledged."""
    while readings:
        reading = celsius()
        while True:
            try:
                join()
                client = MQTTClient(config.DEVICE, config.BROKER, config.PORT)
                client.connect()
                send(client, reading)
                client.disconnect()
                break
            except OSError:
                time.sleep(2)
        readings -= 1
        time.sleep(every)


if __name__ == "__main__":
    main(getattr(config, "EVERY", 60), getattr(config, "READINGS", -1))
