// mqtt.js against a broker: node client.mjs MODULES URL LEVEL; prints "ok".
import { createRequire } from "node:module";
const mqtt = createRequire(process.argv[2] + "/")("mqtt");
const [url, level] = [process.argv[3], Number(process.argv[4])];
const options = { protocolVersion: level, clientId: "js-" + process.pid, reconnectPeriod: 0 };
const client = await mqtt.connectAsync(url, options);
const base = "js" + process.pid + "/";
const seen = [];
const all = new Promise((resolve) => {
  client.on("message", (topic, payload, packet) => {
    seen.push([topic.replace(base, "js/"), payload.toString(), packet.qos, packet.properties?.userProperties?.k]);
    if (seen.length === 4) resolve();
  });
});
await client.subscribeAsync({ [base + "+"]: { qos: 2 } });
for (const qos of [0, 1, 2]) {
  const properties = level === 5 ? { userProperties: { k: "v" } } : undefined;
  await client.publishAsync(base + qos, "x".repeat(50000), { qos, properties });
}
await client.publishAsync(base + "kept", "kept", { qos: 1, retain: true });
await all;
const wanted = level === 5 ? ["v", "v", "v", undefined] : [undefined, undefined, undefined, undefined];
const got = JSON.stringify([seen.map((m) => m[0]), seen.map((m) => m[2]), seen.map((m) => m[3])]);
const good = JSON.stringify([["js/0", "js/1", "js/2", "js/kept"], [0, 1, 2, 1], wanted]);
if (got !== good) throw new Error(got + " is not " + good);
await client.endAsync();
console.log("ok");
