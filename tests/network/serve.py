"""Servers for the tests of the network: HTTP and HTTPS that answer with what they were asked, a plain echo, and a service
of names that knows nobody and writes down who was asked for."""

import base64
import html
import http.server
import json
import socket
import socketserver
import ssl
import sys
import threading
import urllib.parse

# Some look public, and none of the others may be reached but by a rule that says so.
ADDRESSES = ["93.184.215.14", "10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "2606:2800:21f::14"]


class Asked(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        told = f"{self.command} {self.path} of {self.headers.get('Host')}\n{self.headers}".encode() + body
        self.send_response(200)
        self.send_header("X-Echo", self.headers.get("Authorization") or "nothing")
        self.send_header("Set-Cookie", "echo=" + urllib.parse.quote(self.headers.get("Authorization") or "nothing"))
        if self.path.startswith("/html"):
            told = html.escape(told.decode()).encode()
        if self.path.startswith("/json"):
            told = json.dumps({"told": told.decode(), "quoted": urllib.parse.quote_plus(told)}).encode()
        if self.path.startswith("/base64"):
            told = base64.b64encode(told) + told.hex().encode()
        if self.path.startswith("/pieces"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(told), 3):
                piece = told[at : at + 3]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        while piece := self.request.recv(65536):
            self.request.sendall(piece)


class Names(socketserver.DatagramRequestHandler):
    def handle(self):
        packet, there = self.request
        with open("/mnt/names.log", "ab") as log:
            log.write(packet[12:] + b"\n")
        # An answer: no such name.
        there.sendto(packet[:2] + b"\x81\x83" + packet[4:6] + bytes(6) + packet[12:], self.client_address)


def start(server):
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def serve(address, context):
    class Web(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        request_queue_size = 1024

    class Plain(socketserver.ThreadingTCPServer):
        address_family = Web.address_family
        request_queue_size = 1024

    start(Web((address, 80), Asked))
    secure = Web((address, 443), Asked)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    start(secure)
    start(Plain((address, 5432), Echo))


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    for address in ADDRESSES:
        try:
            serve(address, context)
        except OSError as error:
            # A host may do without IPv6.
            if ":" not in address:
                raise
            print(address, error, file=sys.stderr)
    start(socketserver.ThreadingUDPServer(("93.184.215.14", 53), Names))
    print("ready", flush=True)
    sys.stdout.close()
    threading.Event().wait()


main()
