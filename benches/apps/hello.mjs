// The hello workload for node's own http server: node hello.mjs PORT KEEP_ALIVE_SECONDS
import { createServer } from "node:http";

const [port, keepAliveSeconds] = process.argv.slice(2).map(Number);
const headers = { "content-type": "text/plain", "content-length": 13 };
const server = createServer((_request, response) => {
  response.writeHead(200, headers);
  response.end("Hello, world!");
});
server.keepAliveTimeout = keepAliveSeconds * 1000;
server.listen(port, "127.0.0.1", 4096);
process.on("SIGTERM", () => process.exit(0));
