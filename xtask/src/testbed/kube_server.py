"""As much of a cluster's API server as `kubectl exec -i` needs: kube_server.py PORT_FILE COMMAND...

The pod `good` runs what it is told behind COMMAND; `done` has ended; `mine` is somebody else's; others do not exist.
One exec is one WebSocket (protocol v5.channel.k8s.io, or v4): the first byte of a message is the number of its stream.
"""
import base64
import hashlib
import http.server
import json
import os
import socketserver
import struct
import subprocess
import sys
import threading
import urllib.parse

ENTER = sys.argv[2:]
ACCEPT = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
STDIN, STDOUT, STDERR, STATUS, CLOSE_STREAM = 0, 1, 2, 3, 255
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
CONTAINERS = ('main', 'side')


def pod(namespace, name):
    running = [{'name': c, 'ready': True, 'restartCount': 0, 'image': 'x', 'imageID': 'x', 'state': {'running': {}}}
               for c in CONTAINERS]
    return {
        'kind': 'Pod', 'apiVersion': 'v1',
        'metadata': {'name': name, 'namespace': namespace, 'uid': '1'},
        'spec': {'containers': [{'name': c, 'image': 'x'} for c in CONTAINERS]},
        'status': {'phase': 'Succeeded' if name == 'done' else 'Running', 'containerStatuses': running},
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def answer(self, body, code=200):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, code, reason, message, **details):
        self.answer({'kind': 'Status', 'apiVersion': 'v1', 'status': 'Failure', 'reason': reason, 'code': code,
                     'message': message, 'details': details}, code)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        parts = url.path.strip('/').split('/')
        verbs = ['create', 'get', 'list']
        if url.path == '/version':
            return self.answer({'major': '1', 'minor': '32', 'gitVersion': 'v1.32.0'})
        if url.path == '/api':
            return self.answer({'kind': 'APIVersions', 'versions': ['v1'], 'serverAddressByClientCIDRs': []})
        if url.path == '/apis':
            return self.answer({'kind': 'APIGroupList', 'apiVersion': 'v1', 'groups': []})
        if url.path == '/api/v1':
            kinds = [('pods', 'Pod'), ('pods/exec', 'PodExecOptions')]
            return self.answer({'kind': 'APIResourceList', 'groupVersion': 'v1', 'resources': [
                {'name': name, 'singularName': '', 'namespaced': True, 'kind': kind, 'verbs': verbs}
                for name, kind in kinds]})
        if len(parts) < 6 or parts[:3] != ['api', 'v1', 'namespaces'] or parts[4] != 'pods':
            return self.refuse(404, 'NotFound', 'the server could not find the requested resource')
        namespace, name = parts[3], parts[5]
        if name not in ('good', 'done', 'mine') or namespace not in ('default', 'other'):
            return self.refuse(404, 'NotFound', 'pods "%s" not found' % name, name=name, kind='pods')
        if len(parts) == 6:
            return self.answer(pod(namespace, name))
        if name == 'mine':
            return self.refuse(403, 'Forbidden', 'pods "mine" is forbidden: User "tb" cannot create resource '
                               '"pods/exec" in API group "" in the namespace "default"', name=name, kind='pods')
        query = urllib.parse.parse_qs(url.query)
        container = query.get('container', ['main'])[0]
        if container not in CONTAINERS:
            return self.refuse(400, 'BadRequest', 'container %s is not valid for pod %s' % (container, name))
        self.execute(query)

    def do_POST(self):
        """What an older kubectl would use; a newer one tries it when it was refused, and shows that answer."""
        self.do_GET()

    def execute(self, query):
        if self.headers.get('Upgrade', '').lower() != 'websocket':
            return self.refuse(400, 'BadRequest', 'only WebSockets are spoken here')
        offered = [text.strip() for text in self.headers.get('Sec-WebSocket-Protocol', '').split(',')]
        protocol = [text for text in ('v5.channel.k8s.io', 'v4.channel.k8s.io') if text in offered][0]
        key = hashlib.sha1((self.headers['Sec-WebSocket-Key'] + ACCEPT).encode()).digest()
        self.wfile.write((
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
            'Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n'
            % (base64.b64encode(key).decode(), protocol)).encode())
        self.wfile.flush()
        self.close_connection = True
        stdin = subprocess.PIPE if query.get('stdin') == ['true'] else subprocess.DEVNULL
        process = subprocess.Popen(ENTER + query['command'], stdin=stdin, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, bufsize=0)
        self.lock = threading.Lock()
        threading.Thread(target=self.feed, args=(process,), daemon=True).start()
        readers = [threading.Thread(target=self.pump, args=pair)
                   for pair in ((process.stdout, STDOUT), (process.stderr, STDERR))]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        code = process.wait()
        status = {'metadata': {}, 'status': 'Success'}
        if code:
            status = {'metadata': {}, 'status': 'Failure', 'reason': 'NonZeroExitCode',
                      'message': 'command terminated with non-zero exit code: exit status %d' % code,
                      'details': {'causes': [{'reason': 'ExitCode', 'message': str(code)}]}}
        try:
            self.send(BINARY, bytes([STATUS]) + json.dumps(status).encode())
            self.send(CLOSE, struct.pack('>H', 1000))
        except OSError:
            pass

    def send(self, opcode, data):
        size = len(data)
        if size < 126:
            head = bytes([size])
        elif size < 65536:
            head = b'\x7e' + struct.pack('>H', size)
        else:
            head = b'\x7f' + struct.pack('>Q', size)
        with self.lock:
            self.connection.sendall(bytes([0x80 | opcode]) + head + data)

    def pump(self, stream, number):
        try:
            while True:
                data = stream.read(32768)
                if not data:
                    break
                self.send(BINARY, bytes([number]) + data)
        except OSError:
            pass

    def exactly(self, size):
        data = self.rfile.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def message(self):
        first, size = self.exactly(2)
        masked, size = size & 128, size & 127
        if size == 126:
            size, = struct.unpack('>H', self.exactly(2))
        elif size == 127:
            size, = struct.unpack('>Q', self.exactly(8))
        mask = self.exactly(4) if masked else b''
        data = self.exactly(size)
        if masked and data:
            key = (mask * (size // 4 + 1))[:size]
            data = (int.from_bytes(data, 'big') ^ int.from_bytes(key, 'big')).to_bytes(size, 'big')
        return first & 15, data

    def feed(self, process):
        """What kubectl sends, until it goes; then the command has no more input."""
        try:
            while True:
                opcode, data = self.message()
                if opcode == CLOSE:
                    break
                if opcode == PING:
                    self.send(PONG, data)
                elif data and process.stdin and data[0] == STDIN:
                    view = memoryview(data)[1:]
                    while view:
                        view = view[process.stdin.write(view):]
                elif data and process.stdin and data[0] == CLOSE_STREAM:
                    process.stdin.close()
        except (EOFError, OSError, ValueError):
            pass
        if process.stdin:
            try:
                process.stdin.close()
            except OSError:
                pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


if __name__ == '__main__':
    server = Server(('127.0.0.1', 0), Handler)
    with open(sys.argv[1] + '.new', 'w') as file:
        file.write('%d\n' % server.server_port)
    os.rename(sys.argv[1] + '.new', sys.argv[1])
    server.serve_forever()
