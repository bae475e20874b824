// A client that speaks HTTP/2 alone. Sends a message, waits for it to come back, sends the next; then
// trailers. Prints what it got, a line each.
//
//   node http2_client.mjs PORT AUTHORITY NAME PATH
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import tls from "node:tls";

const [port, authority, servername, path] = process.argv.slice(2);
const session = http2.connect(`https://${servername}`, {
  createConnection: () => tls.connect({
    port: Number(port), host: "127.0.0.1", servername, ca: readFileSync(authority),
    ALPNProtocols: ["h2"],
  }),
});
session.on("error", (error) => { console.log(`session ${error.code}`); process.exit(1); });
const stream = session.request({ ":method": "POST", ":path": path, te: "trailers" },
                               { waitForTrailers: true });
let round = 0, status = 0;
stream.on("response", (head) => {
  status = head[":status"];
  console.log(`status ${status}`);
});
stream.on("data", (piece) => {
  console.log(`${piece}`.trimEnd());
  round += 1;
  if (round < 3 && status === 200) stream.write(`message ${round}`);
  else stream.end();
});
stream.on("wantTrailers", () => stream.sendTrailers({ "x-sent": "yes" }));
stream.on("trailers", (t) => console.log(`trailers ${t["grpc-status"]} ${t["x-seen"]}`));
stream.on("error", (error) => console.log(`stream ${error.message}`));
stream.on("end", () => session.close());
stream.write("message 0");
