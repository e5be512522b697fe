"""Servers for the tests of the network: HTTP and HTTPS that answer with what they were asked, and a plain echo."""

import http.server
import socketserver
import ssl
import sys
import threading

ADDRESSES = ["93.184.215.14", "10.0.0.1"]


class Asked(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        told = f"{self.command} {self.path} of {self.headers.get('Host')}\n{self.headers}".encode() + body
        self.send_response(200)
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


def start(server):
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    socketserver.ThreadingTCPServer.request_queue_size = 1024
    http.server.ThreadingHTTPServer.request_queue_size = 1024
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    for address in ADDRESSES:
        start(http.server.ThreadingHTTPServer((address, 80), Asked))
        secure = http.server.ThreadingHTTPServer((address, 443), Asked)
        secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
        start(secure)
        start(socketserver.ThreadingTCPServer((address, 5432), Echo))
    print("ready", flush=True)
    sys.stdout.close()
    threading.Event().wait()


main()
