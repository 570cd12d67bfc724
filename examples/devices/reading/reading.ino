// A temperature each minute becomes a job: ESP32, PubSubClient, msgpack packed by hand.
#include <PubSubClient.h>
#include <WiFi.h>
#include <string.h>

const char *NETWORK = "my-network", *PASSWORD = "my-password";
const char *BROKER = "192.168.1.2", *DEVICE = "roof";

WiFiClient net;
PubSubClient mqtt(net);
uint8_t packet[128];
size_t used;

void map_of(uint8_t pairs) { packet[used++] = 0x80 | pairs; }

void text(const char *value) {  // up to 31 bytes
  size_t length = strnlen(value, 31);
  packet[used++] = 0xa0 | length;
  memcpy(packet + used, value, length);
  used += length;
}

void number(float value) {  // big-endian, as msgpack has it
  uint32_t bits;
  memcpy(&bits, &value, 4);
  packet[used++] = 0xca;
  for (int shift = 24; shift >= 0; shift -= 8) packet[used++] = bits >> shift;
}

size_t pack(const char *sensor, float celsius) {
  used = 0;
  map_of(2);
  text("job");
  text("store_reading");
  text("data");
  map_of(2);
  text("sensor");
  text(sensor);
  text("celsius");
  number(celsius);
  return used;
}

void setup() {
  WiFi.begin(NETWORK, PASSWORD);
  mqtt.setServer(BROKER, 1883);
  mqtt.setKeepAlive(120);
}

void loop() {
  while (WiFi.status() != WL_CONNECTED) delay(200);
  while (!mqtt.connected() && !mqtt.connect(DEVICE)) delay(2000);
  size_t length = pack(DEVICE, temperatureRead());
  if (mqtt.publish("$queue/sensors", packet, length)) delay(60000);
}
