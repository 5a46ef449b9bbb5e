"""Certificates of a small authority that lasts a day, as files of PEM."""

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Certificates:
    """An authority, and `certificate` with `key` for a server on this machine."""

    def __init__(self, folder, name="first"):
        folder.mkdir(exist_ok=True)
        self.folder, self.name = folder, name
        self.ca, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server-key.pem"
        self.authority_key = ec.generate_private_key(ec.SECP256R1())
        self.authority = self._sign(self._name("authority"), self.authority_key, None)
        self.ca.write_bytes(pem(self.authority))
        self.renew(name)

    def renew(self, name):
        """Another certificate for the server, with this common name, put in the place of the one before."""
        certificate, key = self._issue(name, ExtendedKeyUsageOID.SERVER_AUTH)
        for path, content in [(self.key, key), (self.certificate, certificate)]:
            new = path.with_suffix(".new")
            new.write_bytes(content)
            os.replace(new, path)

    def client(self, name="client"):
        """A certificate and a key for a client."""
        paths = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        for path, content in zip(paths, self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH)):
            path.write_bytes(content)
        return paths

    def _issue(self, name, usage):
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem(self._sign(self._name(name), key, usage)), private

    def _name(self, name):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def _sign(self, subject, key, usage):
        now = datetime.datetime.now(datetime.timezone.utc)
        issuer = subject if usage is None else self.authority.subject
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=usage is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if usage is None:
            signs = x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(signs, critical=True)
        else:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority_key.public_key())
            builder = (
                builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
                .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
                .add_extension(identifier, critical=False)
            )
        return builder.sign(self.authority_key if usage else key, hashes.SHA256())


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)
