#!/usr/bin/env python3
"""A stand-in for a system: answers every request with JSON that tells who answered.

    python3 examples/stand-in.py NAME PORT

Only the standard library; on loopback; Ctrl-C ends it.
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections alive
    wbufsize = -1  # head and body in one packet: in two, the second waits 40 ms for the first to be acknowledged
    name = "?"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, 1 << 20))
        told = {
            "served_by": self.name,
            "method": self.command,
            "path": self.path,
            "body_bytes": len(body),
            "migration": self.headers.get("Crossfade-Migration"),
        }
        answer = (json.dumps(told) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.exit(__doc__)
    Handler.name = sys.argv[1]
    server = Server(("127.0.0.1", int(sys.argv[2])), Handler)
    print(f"{Handler.name} answers on http://127.0.0.1:{server.server_port}", file=sys.stderr)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
