"""Certificates: replaced, broken, asked of clients; and a server that does not open itself to the network unasked."""

import contextlib
import socket
import ssl
import subprocess
import time

import grpc
import pytest
from cryptography import x509

from certificates import Certificates
from documents import DOCUMENTS
from reflected import Reflection
from safety import Daemon, create_key, is_closed, read_answer
from world import binary

CODE = grpc.StatusCode
# The files are looked at every two seconds.
SECONDS_TO_NOTICE = 15


@pytest.fixture(scope="module")
def place(world):
    if not (world.folder / "sealed").exists():
        world.index("sealed", DOCUMENTS[:3])
    return world


@pytest.fixture
def certificates(place, tmp_path):
    return Certificates(tmp_path / "certificates")


def name_shown(server):
    """The common name of the certificate that a new connection gets."""
    with contextlib.closing(server.socket()) as connection:
        return name_of(connection)


def name_of(connection):
    shown = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))
    return shown.subject.rfc4514_string().removeprefix("CN=")


ASK = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def still_answers(connection):
    connection.sendall(ASK)
    return read_answer(connection).startswith(b"HTTP/1.1 200")


def test_plain_words_to_a_port_of_tls(place, certificates):
    with Daemon(place, "--index", "sealed", tls=certificates) as server:
        for words in [ASK, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 100]:
            with contextlib.closing(socket.create_connection((server.host, server.port))) as plain:
                plain.sendall(words)
                plain.settimeout(5)
                said = b""
                with contextlib.suppress(ConnectionError):
                    while part := plain.recv(4096):
                        said += part
                # An alert of TLS, or nothing; never an answer.
                assert not said or said[0] == 0x15, said
        with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as refused:
            Reflection(channel, "v1").services()
        assert refused.value.code() == CODE.UNAVAILABLE
        assert server.http("GET", "/healthz").status == 200


def test_what_is_spoken_inside(place, certificates):
    """HTTP/1.1 and HTTP/2 as the client chooses, and no old version of TLS."""
    with Daemon(place, "--index", "sealed", tls=certificates) as server:
        for wanted in ["h2", "http/1.1"]:
            with contextlib.closing(server.socket(alpn=wanted)) as connection:
                assert connection.selected_alpn_protocol() == wanted
                assert connection.version() == "TLSv1.3"
        context = ssl.create_default_context(cafile=certificates.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection((server.host, server.port)) as plain, context.wrap_socket(plain,
            server_hostname="localhost") as connection:
            assert connection.version() == "TLSv1.2"
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with socket.create_connection((server.host, server.port)) as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain)
        # Whoever trusts another authority does not talk to it.
        stranger = ssl.create_default_context(cafile=Certificates(certificates.folder / "stranger").ca)
        with socket.create_connection((server.host, server.port)) as plain, pytest.raises(ssl.SSLCertVerificationError):
            stranger.wrap_socket(plain, server_hostname="localhost")


def test_a_handshake_that_never_ends(place, certificates):
    with Daemon(place, "--index", "sealed", "--header-timeout", 1, tls=certificates) as server:
        connections = [socket.create_connection((server.host, server.port)) for _ in range(50)]
        for number, connection in enumerate(connections):
            connection.sendall(b"\x16\x03\x01\x02\x00"[: number % 6])
        assert server.http("GET", "/healthz").status == 200
        assert all(is_closed(connection, 6) for connection in connections)


def test_a_certificate_that_is_replaced(place, certificates):
    with Daemon(place, "--index", "sealed", tls=certificates) as server:
        with contextlib.closing(server.socket()) as before, server.channel() as channel:
            assert Reflection(channel, "v1").services()
            certificates.renew("second")
            server.until(lambda: name_shown(server) == "second", "new connections get the old certificate",
                         SECONDS_TO_NOTICE)
            # Whoever was connected goes on.
            assert name_of(before) == "first" and still_answers(before)
            assert Reflection(channel, "v1").services()
        assert any("certificate was read again" in line for line in server.log), server.said()
        # At once on SIGHUP.
        certificates.renew("third")
        server.signal(1)
        server.until(lambda: name_shown(server) == "third", "SIGHUP does not read certificates", SECONDS_TO_NOTICE)


@pytest.mark.parametrize("damage", ["nonsense", "empty", "gone", "of another key"])
def test_a_certificate_that_is_broken(place, certificates, damage):
    """The old one stays, and the log says so; once it is mended, it is taken."""
    with Daemon(place, "--index", "sealed", tls=certificates) as server:
        good_key = certificates.key.read_bytes()
        if damage == "gone":
            certificates.certificate.unlink()
        elif damage == "of another key":
            certificates.key.write_bytes(Certificates(certificates.folder / "other").key.read_bytes())
        else:
            certificates.certificate.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n" if damage == "nonsense" else "")
        told = lambda: any("certificate stays as it was" in line for line in server.log)
        server.until(told, "the log does not say that the certificate is broken", SECONDS_TO_NOTICE)
        assert name_shown(server) == "first"
        certificates.key.write_bytes(good_key)
        certificates.renew("mended")
        server.until(lambda: name_shown(server) == "mended", "the mended certificate is not taken", SECONDS_TO_NOTICE)


def test_what_is_broken_is_said_once(place, certificates):
    """Files are looked at every two seconds; a log that says the same each time hides everything else."""
    create_key(place, "--scope", "search", file="said.toml")
    with Daemon(place, "--index", "sealed", "--keys", "said.toml", tls=certificates) as server:
        certificates.certificate.write_text("nonsense")
        (place.folder / "said.toml").write_text("nonsense")
        told = lambda what: sum(f"{what} as" in line for line in server.log)
        server.until(lambda: told("certificate stays") and told("keys stay"), "the log does not say what is broken",
                     SECONDS_TO_NOTICE)
        time.sleep(6)
        assert (told("certificate stays"), told("keys stay")) == (1, 1), server.said()


def test_clients_need_a_certificate(place, certificates):
    """Without one, or with one of another authority, there is no connection; the authority can be replaced as well."""
    stranger = Certificates(certificates.folder / "stranger")
    options = ["--index", "sealed", "--client-ca", certificates.folder / "clients.pem"]
    (certificates.folder / "clients.pem").write_bytes(certificates.ca.read_bytes())
    with Daemon(place, *options, tls=certificates, client=certificates.client()) as server:
        assert server.http("GET", "/collections").status == 200
        own = server.client
        for client in [None, stranger.client(), (certificates.certificate, certificates.key)]:
            server.client = client
            with pytest.raises((ssl.SSLError, ConnectionError)):
                server.http("GET", "/healthz", timeout=5)
            with server.channel() as channel, pytest.raises(grpc.RpcError) as refused:
                Reflection(channel, "v1").services()
            assert refused.value.code() == CODE.UNAVAILABLE
        server.client = own
        assert server.http("GET", "/collections").status == 200
        (certificates.folder / "clients.pem").write_bytes(stranger.ca.read_bytes())
        server.client = stranger.client()
        server.until(lambda: server.http("GET", "/healthz", timeout=5).status == 200, "the new authority is not taken",
                     SECONDS_TO_NOTICE)
        server.client = own
        with pytest.raises((ssl.SSLError, ConnectionError)):
            server.http("GET", "/healthz", timeout=5)


def refused_to_start(place, *options):
    """What a server says that does not start, and its exit code."""
    words = [str(word) for word in [binary(), "serve", "--index", "sealed", *options]]
    ended = subprocess.run(words, cwd=place.folder, env=place.environment, capture_output=True, encoding="utf-8",
                           timeout=30)
    return ended.returncode, ended.stderr


def test_files_of_tls_that_are_wrong_from_the_start(place, certificates):
    nonsense = certificates.folder / "nonsense.pem"
    nonsense.write_text("nonsense")
    other = Certificates(certificates.folder / "other")
    for certificate, key, more in [(nonsense, certificates.key, []), (certificates.certificate, nonsense, []),
                                   (certificates.certificate, other.key, []),
                                   (certificates.folder / "none.pem", certificates.key, []),
                                   (certificates.certificate, certificates.key, ["--client-ca", nonsense])]:
        code, said = refused_to_start(place, "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key,
                                      *more)
        assert code in (1, 2) and "panicked" not in said and ".pem" in said, (code, said)
    for half in [["--tls-cert", certificates.certificate], ["--tls-key", certificates.key],
                 ["--client-ca", certificates.ca]]:
        code, said = refused_to_start(place, "--listen", "127.0.0.1:0", *half)
        assert code == 2 and "--tls-" in said, (code, said)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_a_server_does_not_open_itself_to_the_network_unasked(place, address):
    code, said = refused_to_start(place, "--listen", address)
    assert code == 2, (code, said)
    for words in ["can be reached from other machines", "berth key create", "--keys", "--open-to-all"]:
        assert words in said, said
    # Nor with a file of keys that is not there, or is none.
    assert refused_to_start(place, "--listen", address, "--keys", "no-such-keys.toml")[0] in (1, 2)
    (place.folder / "broken.toml").write_text("[[key]]\nid = 3")
    code, said = refused_to_start(place, "--listen", address, "--keys", "broken.toml")
    assert code in (1, 2) and "broken.toml" in said, (code, said)


def test_a_server_opens_itself_where_it_is_told_to(place):
    """All of 127.0.0.0/8 is this machine, so that nothing is exposed by trying."""
    key, _ = create_key(place, "--scope", "search", file="opened.toml")
    with Daemon(place, "--index", "sealed", listen="127.0.0.2:0") as server:
        assert server.http("GET", "/collections").status == 200
    with Daemon(place, "--index", "sealed", "--keys", "opened.toml", listen="127.0.0.2:0") as server:
        assert server.http("GET", "/collections").status == 401
        assert server.http("GET", "/collections", key=key).status == 200
    with Daemon(place, "--index", "sealed", "--open-to-all", listen="127.0.0.2:0") as server:
        assert server.http("GET", "/collections").status == 200
