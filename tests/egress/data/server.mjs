// The servers that the tests' requests are meant for: HTTPS (2 and 1.1), HTTP, and TLS with whatever
// bytes are asked for. Writes their ports into a file, "HTTPS HTTP RAW", and prints "ready". Ends with
// its standard input.
//
//   node server.mjs CERTIFICATE KEY PORTS [GIT_ROOT]
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import tls from "node:tls";

const [cert, key, portsFile, gitRoot] = process.argv.slice(2);
const identity = { cert: readFileSync(cert), key: readFileSync(key) };
const waiting = new Map(); // event streams by name
let seen = 0; // requests

function echo(request, response) {
  const hash = createHash("sha256");
  let size = 0;
  request.on("data", (piece) => { hash.update(piece); size += piece.length; });
  request.on("end", () => {
    const sent = request.headers["x-api-key"] ?? request.headers.authorization;
    if (sent) response.setHeader("x-echo", `you sent ${sent}`);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({
      method: request.method, url: request.url, version: request.httpVersion,
      headers: request.headers, trailers: request.trailers, size, sha256: hash.digest("hex"),
    }) + "\n");
  });
}

// An event at once, the next ones when somebody asks for /events/NAME/go.
function events(request, response, name, go) {
  if (!go) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
    waiting.set(name, response);
    response.on("close", () => waiting.delete(name));
    return;
  }
  waiting.get(name)?.write("data: 2\n\n");
  response.end(waiting.has(name) ? "sent\n" : "nobody\n");
}

// git over HTTP as CGI (git-http-backend(1)), for whoever shows the token.
function git(request, response, url) {
  const wanted = "Basic " + Buffer.from("x-access-token:real-git-token").toString("base64");
  if (request.headers.authorization !== wanted) {
    response.writeHead(401, { "www-authenticate": "Basic" }).end();
    return;
  }
  const backend = spawn("git", ["http-backend"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: {
      ...process.env, GIT_PROJECT_ROOT: gitRoot, GIT_HTTP_EXPORT_ALL: "1", REMOTE_USER: "x",
      PATH_INFO: url.pathname.slice(4), QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method, CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      GIT_PROTOCOL: request.headers["git-protocol"] ?? "",
    },
  });
  request.pipe(backend.stdin);
  let head = Buffer.alloc(0);
  const onData = (piece) => {
    head = Buffer.concat([head, piece]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    backend.stdout.off("data", onData);
    let status = 200;
    for (const line of head.subarray(0, end).toString().split("\r\n")) {
      const [name, value] = line.split(": ");
      if (name === "Status") status = parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.writeHead(status);
    response.write(head.subarray(end + 4));
    backend.stdout.pipe(response);
  };
  backend.stdout.on("data", onData);
}

function serve(request, response) {
  seen += 1;
  const url = new URL(request.url, "https://server.test");
  const [, what, name, more] = url.pathname.split("/");
  switch (what) {
    case "seen":
      response.end(`${seen}\n`);
      break;
    case "events":
      events(request, response, name, more === "go");
      break;
    case "status":
      response.writeHead(Number(name)).end(name === "204" || name === "304" ? undefined : "body\n");
      break;
    case "big": {
      const piece = Buffer.alloc(65536, "x");
      let left = Number(name);
      const more = () => {
        while (left > 0) {
          const part = piece.subarray(0, Math.min(left, piece.length));
          left -= part.length;
          if (!response.write(part)) { response.once("drain", more); return; }
        }
        response.end();
      };
      more();
      break;
    }
    case "trailers":
      response.writeHead(200, { trailer: "x-sum" });
      response.write("one");
      response.addTrailers({ "x-sum": "real-api-key" });
      response.end();
      break;
    case "early":
      response.writeHead(413).end("too much\n");
      break;
    case "waiting":
      response.end(`${waiting.has(name) ? "yes" : "no"}\n`);
      break;
    case "calls": // as gRPC does: both ways at once, and the outcome in trailers
      response.writeHead(200, { "content-type": "application/grpc" });
      request.pipe(response, { end: false });
      request.on("end", () => {
        response.addTrailers({ "grpc-status": "0", "x-seen": `${request.trailers["x-sent"]}` });
        response.end();
      });
      break;
    case "git":
      git(request, response, url);
      break;
    default:
      echo(request, response);
  }
}

// WebSocket's handshake, and then whatever comes goes back.
function upgrade(request, socket, head) {
  const accept = createHash("sha1")
    .update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    .digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
               `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.write(head);
  socket.pipe(socket);
  socket.on("error", () => {});
}

// Answers with what the request's header X-Answer holds, in base64, and closes.
const raw = tls.createServer({ ...identity, ALPNProtocols: ["http/1.1"] }, (socket) => {
  let text = "";
  socket.on("error", () => {});
  socket.on("data", (piece) => {
    text += piece;
    const found = /X-Answer: (\S+)\r\n/i.exec(text);
    if (found && text.includes("\r\n\r\n")) socket.end(Buffer.from(found[1], "base64"));
  });
});
const secure = http2.createSecureServer({ ...identity, allowHTTP1: true }, serve);
const plain = http.createServer(serve);
for (const server of [secure, plain]) server.on("upgrade", upgrade);
const listen = (server) => new Promise((done) => {
  server.listen(0, "127.0.0.1", () => done(server.address().port));
});
const ports = [await listen(secure), await listen(plain), await listen(raw)];
writeFileSync(portsFile, ports.join(" "));
console.log("ready");
process.stdin.on("end", () => process.exit(0)).resume();
