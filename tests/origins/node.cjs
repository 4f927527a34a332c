// An origin on node's own HTTP server, with its lenient parser.
//
// Prints a JSON line with its port, then one for each request it read, before it answers.
'use strict';
const http = require('node:http');

const told = (what) => process.stdout.write(JSON.stringify(what) + '\n');

const server = http.createServer({ insecureHTTPParser: true, requireHostHeader: false, keepAliveTimeout: 60_000 });
server.on('request', (request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const { method, url: target } = request;
    told({ method, target, body: Buffer.concat(pieces).toString('latin1') });
    response.writeHead(200, { 'X-Origin': Buffer.from(`${method} ${target}`, 'latin1').toString('hex'), 'Content-Length': 4 });
    response.end(method === 'HEAD' ? undefined : 'node');
  });
});
server.on('clientError', (error, socket) => {
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
});
server.listen(0, '127.0.0.1', () => told({ port: server.address().port }));
