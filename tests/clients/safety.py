"""Servers that are started, attacked and killed: TLS, keys, memory, and requests that no client library would send."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import grpc
from google.protobuf import json_format, message_factory

from reflected import Reflection
from world import SECONDS_TO_START, binary

ANSWER_SECONDS = 60
MIB = 1 << 20


class Protocol:
    """The messages and methods of the server, as reflection tells them."""

    def __init__(self, server, key=None):
        with server.channel(key) as channel:
            # Each version of reflection describes itself and not the other one.
            self.services = {}
            for version in ["v1alpha", "v1"]:
                reflection = Reflection(channel, version)
                pool = reflection.pool()
                self.services |= {service: pool.FindServiceByName(service) for service in reflection.services()}

    def methods(self):
        """All methods as SERVICE/METHOD."""
        return {f"{name}/{method.name}" for name, service in self.services.items() for method in service.methods}

    def method(self, name):
        service, method = name.split("/")
        return self.services[service if "." in service else f"berth.v1.{service}"].FindMethodByName(method)

    def begin(self, channel, name):
        """What calls a method on a channel, and what makes its requests of dictionaries."""
        method = self.method(name)
        side = lambda is_stream: "stream" if is_stream else "unary"
        call = getattr(channel, f"{side(method.client_streaming)}_{side(method.server_streaming)}")(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        return call, lambda fields: self.message(method, fields)

    def message(self, method, fields):
        """A request; what is bytes is one already."""
        if isinstance(fields, bytes):
            return fields
        method = self.method(method) if isinstance(method, str) else method
        empty = message_factory.GetMessageClass(method.input_type)()
        return json_format.ParseDict(fields, empty, descriptor_pool=method.input_type.file.pool)

    def ask(self, channel, name, fields, metadata=(), timeout=ANSWER_SECONDS):
        """One request; the answer, or all of a stream."""
        call, request = self.begin(channel, name)
        method = self.method(name)
        asked = iter([request(fields)]) if method.client_streaming else request(fields)
        answer = call(asked, timeout=timeout, metadata=tuple(metadata))
        return list(answer) if method.server_streaming else answer


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def __repr__(self):
        return f"{self.status} {self.text[:300]}"


class Daemon:
    """`berth serve` with whatever options, over TLS where `tls` is a Certificates; may be killed and started again."""

    # Processes that were started, for whoever has to be sure that none is left.
    started = []

    def __init__(self, world, *options, tls=None, listen="127.0.0.1:0", client=None, environment=(), drain=5, wait=True):
        self.world, self.options, self.tls, self.client = world, options, tls, client
        self.environment, self.drain, self.log = {**world.environment, **dict(environment)}, drain, []
        self.start(listen, wait)

    def start(self, listen, wait=True):
        words = [binary(), "serve", "--listen", listen, "--drain", self.drain, *self.options]
        if self.tls:
            words += ["--tls-cert", self.tls.certificate, "--tls-key", self.tls.key]
        self.process = subprocess.Popen(
            [str(word) for word in words], cwd=self.world.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
        )
        self.started.append(self.process)
        self.address, self.announced = None, threading.Event()
        self.reading = threading.Thread(target=self._read, args=[self.process.stderr], daemon=True)
        self.reading.start()
        try:
            assert self.announced.wait(SECONDS_TO_START) and self.address, self.said()
            self.host, self.port = self.address.rsplit(":", 1)[0], int(self.address.rsplit(":", 1)[1])
            if wait:
                self.until(lambda: self.http("GET", "/readyz").status == 200, "the server is not ready")
        except BaseException:
            self.process.kill()
            raise

    def _read(self, lines):
        for line in lines:
            self.log.append(line)
            if found := re.search(r"serving on https?://(\S+?)/? ", line):
                self.address = found[1]
                self.announced.set()
        self.announced.set()

    def said(self):
        return "".join(self.log[-40:])

    def until(self, happens, otherwise, seconds=SECONDS_TO_START):
        """Waits until something is so."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, grpc.RpcError):
                if happens():
                    return
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}\n{self.said()}"
            assert time.monotonic() < end, f"{otherwise} within {seconds} s\n{self.said()}"
            time.sleep(0.1)

    # What it takes of the machine.

    def rss(self, what="VmRSS"):
        """Bytes of memory."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(rf"{what}:\s+(\d+)", status.read())[1]) * 1024

    def anonymous(self):
        """Those of them that are of no file: what grows when something is never given back."""
        return self.rss("RssAnon")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # Ways to it.

    def socket(self, timeout=ANSWER_SECONDS, alpn="http/1.1"):
        """A connection that says nothing yet."""
        plain = socket.create_connection((self.host, self.port), timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.client_context(alpn).wrap_socket(plain, server_hostname="localhost") if self.tls else plain

    def client_context(self, alpn="http/1.1"):
        context = ssl.create_default_context(cafile=self.tls.ca)
        context.set_alpn_protocols([alpn])
        if self.client:
            context.load_cert_chain(*self.client)
        return context

    def connection(self, timeout=ANSWER_SECONDS):
        """A client of HTTP/1.1 whose connection is open already."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        connection.sock = self.socket(timeout)
        return connection

    def http(self, method, path, body=None, key=None, headers=(), on=None, timeout=ANSWER_SECONDS):
        """Asks; a body that is no bytes is sent as JSON. On a connection of its own unless there is one."""
        sent = {"authorization": f"Bearer {key}"} if key else {}
        if body is not None and not isinstance(body, bytes):
            body, sent["content-type"] = json.dumps(body).encode(), "application/json"
        connection = on or self.connection(timeout)
        sent |= dict(headers)
        try:
            try:
                answer = self._ask(connection, method, path, body, sent)
            except (ConnectionError, ssl.SSLEOFError, http.client.RemoteDisconnected):
                if on is None:
                    raise
                # Whoever keeps a connection has to bear that the server has ended it.
                connection.close()
                connection.sock = self.socket(timeout)
                answer = self._ask(connection, method, path, body, sent)
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            if on is None:
                connection.close()

    def _ask(self, connection, method, path, body, headers):
        connection.request(method, path, body, headers)
        return connection.getresponse()

    def post(self, path, body, **more):
        return self.http("POST", path, body, **more)

    def channel(self, key=None, options=()):
        """A channel of gRPC whose calls show a key."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1), *options]
        if self.tls:
            read = lambda path: open(path, "rb").read()
            chain = [read(self.client[1]), read(self.client[0])] if self.client else [None, None]
            credentials = grpc.ssl_channel_credentials(read(self.tls.ca), *chain)
            options.append(("grpc.ssl_target_name_override", "localhost"))
            channel = grpc.secure_channel(self.address, credentials, options)
        else:
            channel = grpc.insecure_channel(self.address, options)
        return grpc.intercept_channel(channel, Shows(key)) if key else channel

    # Its end.

    def signal(self, number):
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}\n{self.said()}"
        self.process.send_signal(number)

    def kill(self):
        """Ends it at once, as a power cut would."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=30):
        """Asks it to stop, which it has to do in time and with success."""
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server did not stop within {seconds} s\n{self.said()}") from None
        assert code == 0, f"the server stopped with {code}\n{self.said()}"
        self.reading.join(5)
        assert not self.panics(), self.said()

    def panics(self):
        return [line for line in self.log if "panicked" in line]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.process.kill()
            self.process.wait()


class Shows(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor,
            grpc.StreamStreamClientInterceptor):
    """Sends a key with every call, over channels without TLS too."""

    def __init__(self, key):
        self.pair = ("authorization", f"Bearer {key}")

    def _with_key(self, go_on, details, request):
        sent = [*(details.metadata or ()), self.pair]
        return go_on(details._replace(metadata=sent), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = _with_key


def create_key(world, *options, file="made.toml"):
    """A new API key with its id: `(key, id)`."""
    key = world.key(file, *options)
    return key, key.split("_")[1]


# Requests in bytes.


def framed(message, length=None, compressed=0):
    """A message of gRPC behind its prefix, which may lie."""
    return struct.pack(">BI", compressed, len(message) if length is None else length) + message


def read_answer(connection):
    """The status line, the headers and the body of one answer of HTTP/1.1, as far as they come; all at the end."""
    connection.settimeout(ANSWER_SECONDS)
    received = b""
    with contextlib.suppress(OSError):
        while part := connection.recv(65536):
            received += part
            head, _, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            if length and len(body) >= int(length[1]):
                break
    return received


def is_closed(connection, seconds):
    """Whether the server ends a connection within a time; what it says before does not matter."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


PATHS = re.compile(r"(?:^|[\s'\"(=:`])(/(?:root|home|tmp|var|usr|opt|srv|etc|proc|private|Users)\b[^\s'\"]*)")


def names_a_path(text):
    """An absolute path of this machine in what a client is told."""
    found = PATHS.search(text)
    return found and found[1]
