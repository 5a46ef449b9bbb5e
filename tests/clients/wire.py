"""HTTP/2 and HTTP/1.1 as no client library would speak them: frames and bytes one by one."""

import contextlib
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

WAIT = 15


class Http2:
    """A connection of HTTP/2 that does what it is told, valid or not."""

    def __init__(self, server, timeout=WAIT, window=None):
        self.socket = server.socket(timeout, alpn="h2")
        self.authority = f"localhost:{server.port}"
        self.scheme = "https" if server.tls else "http"
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        if window is not None:
            # Not `local_settings[...] = window`, which says so only after the first settings.
            values = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.h2.initiate_connection()
        self.answers, self.closed, self.reads = {}, None, True
        self.flush()

    def flush(self):
        with contextlib.suppress(OSError):
            self.socket.sendall(self.h2.data_to_send())

    def raw(self, data):
        """Bytes that h2 knows nothing of; false where the server takes no more."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def request(self, path, headers=(), body=None, method="POST", end=True, authority=None):
        """Begins a request; the number of its stream."""
        stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", self.scheme), (":authority", authority or self.authority),
                  (":path", path)]
        self.h2.send_headers(stream, [*pseudo, *headers], end_stream=end and body is None)
        self.flush()
        if body is not None:
            self.send(stream, body, end)
        return stream

    def grpc(self, method, body=None, headers=(), end=True):
        headers = [("content-type", "application/grpc"), ("te", "trailers"), *headers]
        return self.request(method, headers, body, end=end)

    def send(self, stream, data, end=False, seconds=WAIT):
        """Sends data as the windows allow; how much of it was taken within the time."""
        sent, until = 0, time.monotonic() + seconds
        while (sent < len(data) or end) and self.closed is None and self.answers.get(stream, {}).get("reset") is None:
            window = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data) - sent)
            if window or sent == len(data):
                last = sent + window == len(data)
                self.h2.send_data(stream, data[sent:sent + window], end_stream=end and last)
                self.flush()
                sent += window
                if last:
                    break
            elif time.monotonic() >= until:
                break
            else:
                self.pump(0.2)
        return sent

    def pump(self, seconds):
        """Takes in what the server says within a time, or until it has said something."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        except OSError as error:
            self.closed = self.closed or repr(error)
            return
        if not data:
            self.closed = self.closed or "ended"
            return
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.closed = repr(error)
            return
        for event in events:
            self._hear(event)
        self.flush()

    def _hear(self, event):
        answer = self.answers.setdefault(getattr(event, "stream_id", 0), {"data": b"", "reset": None, "done": False})
        if isinstance(event, h2.events.ResponseReceived):
            answer["headers"] = dict(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            answer["trailers"] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer["data"] += event.data
            if self.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            answer["reset"] = event.error_code
        elif isinstance(event, h2.events.StreamEnded):
            answer["done"] = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.closed = f"GOAWAY {event.error_code!r}"

    def answer(self, stream, seconds=WAIT):
        """All of an answer, or what came of it until the stream or the connection was ended; None when nothing happens."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            answer = self.answers.get(stream)
            if answer and (answer["done"] or answer["reset"] is not None):
                return answer
            if self.closed is not None:
                return answer or {"reset": self.closed}
            self.pump(until - time.monotonic())
        return None

    def status(self, stream, seconds=WAIT):
        """How an answer ended: `(status of HTTP, code of gRPC)`; words where the stream or the connection was cut."""
        answer = self.answer(stream, seconds)
        if answer is None:
            return "no answer"
        if "headers" not in answer:
            return f"cut: {answer['reset']!r}"
        named = {**answer["headers"], **answer.get("trailers", {})}
        code = named.get("grpc-status")
        return int(named[":status"]), code and int(code)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2, right or wrong."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
