"""An origin that takes everything, and mostly for something else than it is.

It is the worst reader that a proxy may have behind it: any line end ends a line, names are folded until they fit, a
Content-Length wins over chunked, the last of two lengths counts, a chunk size is whatever int() takes, and what follows a
chunk is not looked at. So if a proxy forwards anything ambiguous, this origin sees one request more than was sent.

Prints a JSON line with its port, then one for each request it read, before it answers.
"""

import asyncio
import json
import re
import urllib.parse

def told(**what):
    print(json.dumps(what), flush=True)

def folded(name):
    name = urllib.parse.unquote(name, "latin-1").lower()
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")

def number(text, base=10):
    """The first thing in the text that int() takes; 0 if there is none."""
    for part in re.split(r"[,;\s]", text):
        try:
            return max(int(part, base), 0)
        except ValueError:
            continue
    return 0

class Reader:
    def __init__(self, stream):
        self.stream, self.buffer, self.after_cr = stream, b"", False

    async def fill(self):
        piece = await self.stream.read(65536)
        if not piece:
            raise EOFError
        self.buffer += piece

    async def line(self):
        """To the next CRLF, LF or CR, whichever comes first."""
        while True:
            if self.after_cr and self.buffer:
                self.buffer = self.buffer.removeprefix(b"\n")
                self.after_cr = False
            found = re.search(rb"[\r\n]", self.buffer)
            if found:
                line, self.buffer = self.buffer[: found.start()], self.buffer[found.end() :]
                self.after_cr = found.group() == b"\r"
                return line.decode("latin-1")
            await self.fill()

    async def exactly(self, count):
        if count == 0:
            return b""
        if self.after_cr and not self.buffer:
            await self.fill()
        if self.after_cr:
            self.buffer, self.after_cr = self.buffer.removeprefix(b"\n"), False
        while len(self.buffer) < count:
            await self.fill()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

async def fields(reader):
    found = []
    while line := await reader.line():
        if line[0] in " \t\v\f\x85\xa0" and found:
            found[-1][1] += line.strip()
        else:
            name, _, value = line.partition(":")
            found.append([folded(name), value.strip().strip("\0\"'")])
    return found

async def chunks(reader):
    body = b""
    while True:
        size = number((await reader.line()).split(";")[0].strip() or "0", 16)
        if size == 0:
            await fields(reader)
            return body
        body += await reader.exactly(size)
        await reader.line()

async def request(reader, writer):
    line = ""
    while not line.strip():
        line = await reader.line()
    method, *rest = line.split()
    target = rest[0] if rest else ""
    head = await fields(reader)
    lengths = [value for name, value in head if name == "content-length"]
    codings = " ".join(value for name, value in head if name in ("transfer-encoding", "content-encoding")).lower()
    if any("100-continue" in value.lower() for name, value in head if name == "expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if lengths:
        body = await reader.exactly(number(lengths[-1]))
    elif "chunk" in codings:
        body = await chunks(reader)
    else:
        body = b""
    told(method=method, target=target, body=body.decode("latin-1"))
    closes = any(name == "connection" and "close" in value.lower() for name, value in head)
    text = b"" if method.upper() == "HEAD" else b"lenient"
    origin = f"{method} {target}".encode("latin-1").hex().encode()
    writer.write(b"HTTP/1.1 200 OK\r\nX-Origin: " + origin + b"\r\nContent-Length: 7\r\n\r\n" + text)
    await writer.drain()
    return not closes

async def serve(stream, writer):
    reader = Reader(stream)
    try:
        while await request(reader, writer):
            pass
    except (EOFError, OSError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    told(port=server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()

asyncio.run(main())
